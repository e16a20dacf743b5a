"""Packages that came from a URL, a repository or a folder instead of an index.

https://packaging.python.org/en/latest/specifications/direct-url/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.data import cache_dir
from workbench.doctor.check import Check, failed, home, passed, python, warned
from workbench.doctor.installed import OWN, Package
from workbench.doctor.look import Look

NAME = "package sources"
WHEELS = "wheels"  # of the cache: what set-up built


def check(look: Look) -> Iterator[Check]:
    """Each package with a source of its own; the workbench's own checkout and wheels that set-up built are at home."""
    own = look.by_name.get(OWN)
    if own is not None and own.editable and (stale := _stale(own)):
        yield failed("checkout", *stale)
    elsewhere = [package for package in look.by_name.values() if package.source is not None]
    built = [package for package in elsewhere if _is_built_here(package)]
    strange = [package for package in elsewhere if package not in built and not (package is own and own.editable)]
    if strange:
        words = "; ".join(f"{package.name} {package.version} from {_words(package)}" for package in strange)
        again = " ".join(package.name for package in strange)
        yield warned(NAME, f"not from an index: {words}", f"{python()} -m pip install --force-reinstall {again}")
        return
    parts = [f"{package.name} {package.version} was built here" for package in built]
    parts += [f"{OWN} is the checkout {home(own.local)}"] if own is not None and own.editable and own.local else []
    yield passed(NAME, "; ".join(["all others come from an index", *parts] if parts else ["all come from an index"]))


def _is_built_here(package: Package) -> bool:
    return package.local is not None and package.local.is_relative_to(cache_dir() / WHEELS)


def _stale(own: Package) -> tuple[str, str] | None:
    """What is wrong with an installed checkout, and the command that mends it."""
    from workbench import __version__

    here = Path(__file__).parents[2]
    command = f"{python()} -m pip install --no-deps --editable {here}"
    if own.local is None or not (own.local / "workbench" / "__init__.py").is_file():
        return f"{OWN} is installed from {home(own.local or own.url)}, and no workbench is there any more", command
    if own.version != __version__:
        return f"{OWN} was installed as {own.version}, and its code says {__version__}", command
    return None


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
