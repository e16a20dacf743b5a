"""Installed versions against those that the tests ran with."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from workbench.data import constraints
from workbench.doctor.check import Check, listed, passed, python, quoted, unknown, warned
from workbench.doctor.effects import PACKAGES
from workbench.doctor.look import Look
from workbench.errors import BadFile

NAME = "pinned versions"


def check(look: Look) -> Iterator[Check]:
    """Every installed package that `constraints.txt` pins; a difference counts where it can change what is shown."""
    try:
        text = constraints().read_text("utf-8")
    except (BadFile, OSError) as error:
        yield unknown(NAME, str(error))
        return
    pins = list(_pins(text))
    others = [
        f"{package.name} {package.version} (tests: {str(pin.specifier).lstrip('=')})"
        for pin in pins
        if (package := look.by_name.get(canonicalize_name(pin.name))) is not None
        and not pin.specifier.contains(package.version, prereleases=True)
    ]
    serious = [words for words in others if words.partition(" ")[0] in PACKAGES]
    same = f"{len(pins)} versions are pinned by constraints.txt"
    if serious:
        command = f"{python()} -m pip install --constraint {quoted(constraints())} "
        yield warned(NAME, f"not what the tests ran with: {listed(others)}", command + " ".join(_names(serious)))
    elif others:
        yield passed(NAME, f"{same}; others, which change nothing that is shown: {listed(others)}")
    else:
        yield passed(NAME, f"{same}; what is installed of them has that version")


def _names(words: list[str]) -> list[str]:
    return [word.partition(" ")[0] for word in words]


def _pins(text: str) -> Iterator[Requirement]:
    for line in text.splitlines():
        try:
            pin = Requirement(line.partition("#")[0])
        except InvalidRequirement:
            continue
        if pin.marker is None or pin.marker.evaluate():
            yield pin
