"""One line of the doctor's table."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

Verdict = Literal["pass", "warn", "fail", "not evaluated"]


class Check(NamedTuple):
    """What was looked at, how it stands, the facts in words, and the command that mends it ("" where none is needed).

    "fail": something that is needed is broken. "warn": it works, but not as it could, or not everywhere.
    "not evaluated": it cannot be known here; `detail` is the reason.
    """

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


def passed(name: str, detail: str) -> Check:
    """It is as it should be."""
    return Check(name, "pass", detail)


def warned(name: str, detail: str, fix: str) -> Check:
    """It works, but not as it could."""
    return Check(name, "warn", detail, fix)


def failed(name: str, detail: str, fix: str) -> Check:
    """Something that is needed is broken."""
    return Check(name, "fail", detail, fix)


def unknown(name: str, reason: str, fix: str = "") -> Check:
    """It cannot be known here."""
    return Check(name, "not evaluated", reason, fix)


def checkout() -> Path | None:
    """The root of the checkout that the workbench runs from, None where it is an installed package."""
    root = Path(__file__).parents[2]
    return root if (root / "tools" / "install.py").is_file() else None


def set_up(otherwise: str) -> str:
    """`make setup` where the workbench is a checkout, else the command `otherwise`."""
    root = checkout()
    return f"make -C {quoted(root)} setup" if root else otherwise


def python() -> str:
    """This interpreter as it is typed in a shell."""
    return quoted(sys.executable)


def home(path: Path | str) -> str:
    """A path with the user's home as `~`."""
    text, own = str(path), str(Path.home())
    return f"~{text.removeprefix(own)}" if own != "/" and text.startswith(f"{own}/") else text


def quoted(path: Path | str) -> str:
    """A path as one word of a shell."""
    import shlex

    return shlex.quote(str(path))


def listed(items: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = list(items) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last
