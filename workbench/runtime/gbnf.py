"""A grammar's text as llama.cpp's parser walks through it: the places of its symbols, nesting and token ids.

Nothing here says whether a grammar is right: that is llama.cpp's own answer. Behaviour:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-grammar.cpp#L447
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_REPEATED = 2000  # llama.cpp's MAX_REPETITION_THRESHOLD: an upper bound above it is taken for none
_SPACE = r"(?:\s|\#[^\r\n]*+)*+"  # possessive: a row of # could be read in countless ways
_WORD = re.compile(
    rf"""(?P<skip>\#[^\r\n]* | "(?:\\.|[^"\\])*(?:"|$) | \[(?:\\.|[^\]\\])*(?:\]|$) | [\s|.!] | ::=)
      | (?P<id><\[\d+\]>) | (?P<token><[^>]{{0,256}}>)
      | (?P<name>[A-Za-z0-9-]+) | (?P<open>\() | (?P<close>\)) | (?P<one>[*+?])
      | (?P<times>\{{{_SPACE}(?P<low>\d+){_SPACE}(?P<comma>,{_SPACE}(?P<high>\d*){_SPACE})?\}})""",
    re.VERBOSE | re.DOTALL,
)
_DEFINES = re.compile(r"[ \t]*::=")
_KINDS = ("id", "token", "name", "open", "close", "one", "times")


class Place(NamedTuple):
    """Line and column, both from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class Symbol(NamedTuple):
    """A symbol of llama.cpp's list, by its number there: the rule that it is or stands in, and at which character."""

    rule: str
    at: int


class Word(NamedTuple):
    """A part of the text that counts: one of `_KINDS`, its text, its first character, a repetition's two bounds.

    `low` and `high` are None where the part has none; {3} has low and high 3, {3,} no high.
    """

    kind: str
    text: str
    at: int
    low: int | None = None
    high: int | None = None


def place(text: str, at: int) -> Place:
    """Where the character `at` of the text stands."""
    before = text[:at]
    return Place(before.count("\n") + 1, at - before.rfind("\n"))


def words(text: str) -> Iterator[Word]:
    """The names, brackets, repetitions and tokens, without texts, character classes and comments."""
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        kind = next((kind for kind in _KINDS if found is not None and found[kind] is not None), None)
        if found is not None and kind is not None:
            yield Word(kind, found[0], at, *_bounds(found) if kind == "times" else ())
        at = found.end() if found is not None and found.end() > at else at + 1


def _bounds(found: re.Match[str]) -> tuple[int | None, int | None]:
    low = _number(found["low"])
    return low, low if found["comma"] is None else _number(found["high"])


def _number(digits: str) -> int | None:
    """The number, at most one beyond all that llama.cpp counts with; None for no digits."""
    return min(int(digits[:25]), 2**64) if digits else None


def depth(text: str) -> int:
    """How deep brackets stand in brackets; each level is a call of llama.cpp's parser inside another one."""
    now = most = 0
    for word in words(text):
        now += {"open": 1, "close": -1}.get(word.kind, 0)
        most = max(most, now)
    return most


def symbols(text: str) -> list[Symbol]:
    """llama.cpp's list of symbols: names as they come, and one for each bracket and each optional repetition."""
    found: dict[str, Symbol] = {}
    rule = ""
    for word in words(text):
        if word.kind == "name":
            if _DEFINES.match(text, word.at + len(word.text)):
                rule = word.text
                found[rule] = Symbol(rule, word.at)  # a name that was asked for before keeps its number
            found.setdefault(word.text, Symbol(word.text, word.at))
        elif word.kind in ("open", "one", "times"):
            made = _optional(word) if word.kind == "times" else 1
            found |= {f"{word.at} {i}": Symbol(rule, word.at) for i in range(made)}
    return list(found.values())


def named(text: str, name: str) -> int | None:
    """The first character at which a rule or token of this name is asked for, None where it never is."""
    return next((word.at for word in words(text) if word.text == name), None)


def token_ids(text: str) -> Iterator[tuple[int, int]]:
    """The token ids that the grammar names as <[ID]>, each with its first character."""
    for word in words(text):
        if word.kind == "id":
            yield _number(word.text[2:-2]) or 0, word.at


def reversed_bounds(text: str) -> Word | None:
    """The first repetition whose upper bound is below its lower one, None where there is none."""
    return next((word for word in words(text) if word.high is not None and word.high < (word.low or 0)), None)


def _optional(word: Word) -> int:
    """The symbols that {m,n} makes: one for each repetition that may be left out, one for all where n is open."""
    if word.high is None or word.high > MOST_REPEATED:
        return 1
    return word.high - (word.low or 0)
