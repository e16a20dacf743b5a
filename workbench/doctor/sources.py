"""Packages that came from a URL, a repository or a folder instead of an index.

https://packaging.python.org/en/latest/specifications/direct-url/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.data import cache_dir, constraints
from workbench.doctor.check import Check, failed, home, passed, python, quoted, warned
from workbench.doctor.installed import OWN, Package
from workbench.doctor.look import Look

INSTALLED, NAME = "installed workbench", "package sources"
WHEELS = "wheels"  # of the cache: what set-up built


def check(look: Look) -> Iterator[Check]:
    """Each package with a source of its own; the workbench's own checkout and wheels that set-up built are at home."""
    own = look.by_name.get(OWN)
    yield _own(own)
    elsewhere = [package for package in look.by_name.values() if package.source is not None]
    built = [package for package in elsewhere if _is_built_here(package)]
    strange = [package for package in elsewhere if package not in built and not (package is own and own.editable)]
    if strange:
        words = "; ".join(f"{package.name} {package.version} from {_words(package)}" for package in strange)
        again = f"{python()} -m pip install --force-reinstall --no-deps --constraint {quoted(constraints())}"
        yield warned(
            NAME, f"not from an index: {words}", " ".join([again, *(quoted(package.name) for package in strange)])
        )
        return
    parts = [f"{package.name} {package.version} was built here" for package in built]
    yield passed(NAME, "; ".join(["all others come from an index", *parts] if parts else ["all come from an index"]))


def _is_built_here(package: Package) -> bool:
    return package.local is not None and package.local.is_relative_to(cache_dir() / WHEELS)


def _own(own: Package | None) -> Check:
    """The workbench that is installed is the one that runs."""
    from workbench import __version__

    runs = Path(__file__).parents[2]
    again = f"{python()} -m pip install --no-deps --editable {quoted(runs)}"
    if own is None:
        return warned(INSTALLED, f"{home(runs)} runs, and no {OWN} is installed", again)
    place = (own.local if own.editable else None) or own.root
    if not (place / "workbench" / "__init__.py").is_file():
        return failed(INSTALLED, f"{OWN} is installed from {home(place)}, and no workbench is there any more", again)
    if not (place / "workbench").samefile(runs / "workbench"):
        return warned(INSTALLED, f"{OWN} is installed from {home(place)}, and the one that runs is {home(runs)}", again)
    if own.version != __version__:
        return warned(INSTALLED, f"{OWN} was installed as {own.version}, and its code says {__version__}", again)
    return passed(INSTALLED, f"{__version__}, {'the checkout' if own.editable else 'in'} {home(place)}")


def _words(package: Package) -> str:
    """The source in words: a repository with its commit, an archive, a folder."""
    source = package.source or {}
    vcs = source.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{vcs.get('vcs', 'a repository')} {package.url} at {str(vcs.get('commit_id', '?'))[:12]}"
    if package.local is not None:
        kind = "the checkout" if package.editable else "the folder" if "dir_info" in source else "the file"
        return f"{kind} {home(package.local)}"
    return package.url
