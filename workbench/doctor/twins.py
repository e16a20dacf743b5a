"""One import, two providers: packages that write over each other, and code in front of an installed package."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.machinery import all_suffixes
from pathlib import Path

from workbench.doctor.check import Check, home, listed, passed, python, warned
from workbench.doctor.effects import PACKAGES
from workbench.doctor.installed import Package
from workbench.doctor.look import Look

TWINS, HIDDEN = "import names", "import path"
SHARED = re.compile(rb"extend_path|declare_namespace")  # a package that is meant to lie in several places


def check(look: Look) -> Iterator[Check]:
    """Two packages with the same import name; another copy of an import before the one that is installed."""
    yield _twins(look)
    yield _hidden(look)


def _twins(look: Look) -> Check:
    providers: dict[str, dict[str, Package]] = {}
    for package in look.by_name.values():
        for module in package.modules:
            providers.setdefault(module, {})[package.name] = package
    several = {name: list(some.values()) for name, some in providers.items() if len(some) > 1}
    twins = {name: some for name, some in several.items() if not all(_is_shared(one, name) for one in some)}
    ours = {
        name: some for name, some in twins.items() if any(one.name in (*look.needed, *PACKAGES) for one in some)
    }
    words = [f"{name} is provided by {listed(f'{one.name} {one.version}' for one in some)}" for name, some in ours.items()]
    if ours:
        extra = [one for some in ours.values() for one in some if one.name not in look.needed]
        removed = list(dict.fromkeys(one.name for one in extra or next(iter(ours.values()))[1:]))
        kept = list(dict.fromkeys(f"{one.name}=={one.version}" for some in ours.values() for one in some if one.name not in removed))
        pip = f"{python()} -m pip"
        fix = f"{pip} uninstall --yes {' '.join(removed)} && {pip} install --force-reinstall --no-deps {' '.join(kept)}"
        return warned(TWINS, f"which files count is chance: {'; '.join(words)}", fix)
    return passed(TWINS, f"{len(providers)} imports, each of one package")


def _is_shared(package: Package, module: str) -> bool:
    try:
        return SHARED.search((package.root / module / "__init__.py").read_bytes()) is not None
    except OSError:
        return False


def _hidden(look: Look) -> Check:
    """The first place on `sys.path` that has an import is that of the package that is installed."""
    installed = [package for package in look.by_name.values() if package.name in (*look.needed, *PACKAGES)]
    at_home = {module: package for package in installed if not package.editable for module in package.modules}
    places = [Path(entry or ".").absolute() for entry in sys.path]
    words = []
    for place in dict.fromkeys(places):
        for module in sorted(at_home.keys() & _imports(place)):
            package = at_home.pop(module)  # only the first place counts
            if place != package.root.absolute():
                words.append(f"{module} is taken from {home(place)}, and {package.name} is installed in {home(package.root)}")
    older = [
        f"{other.name} {other.version} in {home(other.root)} is hidden by {look.by_name[other.name].version}"
        for other in look.packages
        if other.name in (*look.needed, *PACKAGES) and other.version != look.by_name[other.name].version
    ]
    if words or older:
        return warned(HIDDEN, "; ".join([*words, *older]), "unset PYTHONPATH, or leave the folder that has the other copy")
    return passed(HIDDEN, "each import is taken from where its package is installed")


def _imports(folder: Path) -> set[str]:
    """The names that can be imported from a folder; empty for what is no folder."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return set()
    names = {entry.name for entry in entries if (entry / "__init__.py").is_file()}
    return names | {entry.name.partition(".")[0] for entry in entries if entry.name.endswith(tuple(all_suffixes()))}
