"""Versions that do not belong together, by what the packages themselves ask for."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from workbench.doctor.check import Check, failed, passed, python, warned
from workbench.doctor.installed import EXTRAS, EXTRAS_FOR_DEVELOPERS, OWN, asked_for
from workbench.doctor.look import Look

NAME = "versions together"


class Unmet(NamedTuple):
    """What is not met in words, and the requirement, "" where it is Python's version."""

    words: str
    requirement: str = ""


def check(look: Look) -> Iterator[Check]:
    """What each package that the workbench uses asks of the others and of Python; then those for developers."""
    if OWN not in look.by_name:
        yield failed(NAME, f"{OWN} is not installed here, only its code is", f'{python()} -m pip install "{OWN}"')
        return
    everything = asked_for(look.by_name, (*EXTRAS, *EXTRAS_FOR_DEVELOPERS))
    wrong = list(_unmet(look, asked_for(look.by_name)))
    unmet = wrong or list(_unmet(look, everything))
    if not unmet:
        yield passed(NAME, f"{len({name for name, _ in everything})} packages get what they ask of each other")
        return
    words = "; ".join(dict.fromkeys(one.words for one in unmet))
    asked = " ".join(dict.fromkeys(f'"{one.requirement}"' for one in unmet if one.requirement))
    fix = f"{python()} -m pip install {asked}" if asked else "make setup PYTHON=/path/to/a/newer/python3"
    yield (failed if wrong else warned)(NAME, words, fix)


def _unmet(look: Look, pairs: tuple[tuple[str, str], ...]) -> Iterator[Unmet]:
    for name, extra in pairs:
        package = look.by_name[name]
        said = f"{name} {package.version} needs"
        if not extra and not _is_new_enough(package.requires_python):
            yield Unmet(f"{said} Python {package.requires_python}, and this is {platform.python_version()}")
        for asked in package.requirements(extra):
            other = look.by_name.get(canonicalize_name(asked.name))
            wanted = f"{canonicalize_name(asked.name)}{asked.specifier}"
            if other is None and not extra:
                yield Unmet(f"{said} {wanted}, which is not installed", wanted)
            elif other is not None and not asked.specifier.contains(other.version, prereleases=True):
                yield Unmet(f"{said} {wanted}, and {other.version} is installed", wanted)


def _is_new_enough(wanted: str) -> bool:
    try:
        return SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    except InvalidSpecifier:
        return True
