"""One import, two providers: packages that write over each other, and code in front of an installed package."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from importlib.machinery import all_suffixes
from pathlib import Path

from workbench.doctor.check import Check, home, listed, passed, python, quoted, warned
from workbench.doctor.effects import PACKAGES
from workbench.doctor.installed import Package, reinstall
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
    twins = {
        module: list(some.values())
        for module, some in providers.items()
        if len(some) > 1 and _matters(some, look) and not all(_is_shared(one, module) for one in some.values())
    }
    if not twins:
        return passed(TWINS, f"{len(providers)} imports, each of one package")
    words = [
        f"{module} is provided by {listed(f'{one.name} {one.version}' for one in some)}"
        for module, some in twins.items()
    ]
    return warned(TWINS, f"which files count is chance: {'; '.join(words)}", _one_of(twins, look))


def _matters(some: Collection[str], look: Look) -> bool:
    return any(name in look.needed or name in PACKAGES for name in some)


def _one_of(twins: dict[str, list[Package]], look: Look) -> str:
    """The commands that leave one package for each import: the one that the workbench asks for, else the first."""
    kept = [next((one for one in some if one.name in look.needed), some[0]) for some in twins.values()]
    names = dict.fromkeys(one.name for one in kept)
    removed = dict.fromkeys(one.name for some in twins.values() for one in some if one.name not in names)
    gone = " ".join(map(quoted, removed))
    return f"{python()} -m pip uninstall --yes {gone} && {reinstall(*(look.by_name[name] for name in names))}"


def _is_shared(package: Package, module: str) -> bool:
    try:
        return SHARED.search((package.root / module / "__init__.py").read_bytes()) is not None
    except OSError:
        return False


def _hidden(look: Look) -> Check:
    """Each import comes from where its package is installed, and no second copy of it lies behind."""
    ours = {package.name: package for package in look.by_name.values() if _matters([package.name], look)}
    homes = {module: one for one in ours.values() if not one.editable for module in one.modules}
    places: dict[str, list[Path]] = {}
    for place in dict.fromkeys(Path(entry or ".").absolute() for entry in sys.path):
        for module in sorted(homes.keys() & _imports(place)):
            places.setdefault(module, []).append(place)
    words = []
    for module, (first, *behind) in places.items():
        package = homes[module]
        if first != package.root.absolute():
            words.append(f"{module} comes from {home(first)}, {package.name} is installed in {home(package.root)}")
        elif behind and (package.name in PACKAGES or _versions(package.name, look) > 1):
            words.append(f"{module} comes from {home(first)}, another copy lies in {listed(map(home, behind))}")
    if words:
        return warned(HIDDEN, "; ".join(words), "unset PYTHONPATH, or leave the folder that has the other copy")
    return passed(HIDDEN, "each import comes from where its package is installed, and from one place")


def _versions(name: str, look: Look) -> int:
    return len({package.version for package in look.packages if package.name == name})


def _imports(folder: Path) -> set[str]:
    """The names that can be imported from a folder; empty for what is no folder."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return set()
    names = {entry.name for entry in entries if (entry / "__init__.py").is_file()}
    return names | {entry.name.partition(".")[0] for entry in entries if entry.name.endswith(tuple(all_suffixes()))}
