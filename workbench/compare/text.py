"""Where two texts differ, by words, white space and marks rather than by single characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from workbench.values import shared_start

# What a reader takes for one thing: a mark such as <|im_end|> or [/INST], a word, a run of equal white space, a sign.
_PIECE = re.compile(
    r"<\|[^<>|\s]{1,60}\|>|</?[A-Za-z_][^<>\s]{0,60}>|\[/?[A-Z_]{2,30}\]|\w+|\n| +|\s|[^\w\s]", re.UNICODE
)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
MOST_PAIRS = 100_000_000  # of pieces that are held against each other: a tenth of a second and some 20 MB
MOST_CHARACTERS = {_LINE: 1 << 25, _PIECE: 1 << 20}  # of two stretches that are taken apart: half a second
WINDOW = 32  # characters shown on both sides of the first difference


class Difference(NamedTuple):
    """`a[start_a:end_a]` stands where the other text has `b[start_b:end_b]`; offsets in code points."""

    start_a: int
    end_a: int
    start_b: int
    end_b: int


class FirstDifference(NamedTuple):
    """The first character in which two texts differ: its offset, its line (from 1), and what stands around it."""

    offset: int
    line: int
    before: str
    a: str
    b: str


def differences(a: str, b: str) -> tuple[Difference, ...]:
    """What was replaced, taken out or put in, in order; by lines, and inside changed lines by words.

    Texts that are too long and too different to be held against each other are one difference, between what both
    begin and end with.
    """
    whole = Difference(0, len(a), 0, len(b))
    lines = _merged(_blocks(a, b, _LINE, whole))
    return tuple(_merged(at for block in lines for at in _blocks(a, b, _PIECE, block)))


def _merged(found: Iterable[Difference]) -> list[Difference]:
    """Differences of which one begins where the one before ends, as one."""
    merged: list[Difference] = []
    for at in found:
        last = merged[-1] if merged else None
        if last is not None and (last.end_a, last.end_b) == (at.start_a, at.start_b):
            merged[-1] = Difference(last.start_a, at.end_a, last.start_b, at.end_b)
        else:
            merged.append(at)
    return merged


def _blocks(a: str, b: str, pieces: re.Pattern[str], inside: Difference) -> Iterator[Difference]:
    """The differences of two stretches, taken apart into `pieces`."""
    from rapidfuzz.distance import Indel

    one, other = a[inside.start_a : inside.end_a], b[inside.start_b : inside.end_b]
    if one == other:
        return
    parts = (pieces.findall(one), pieces.findall(other)) if len(one) + len(other) <= MOST_CHARACTERS[pieces] else None
    if parts is None or len(parts[0]) * len(parts[1]) > MOST_PAIRS:
        head = shared_start(one, other)
        tail = shared_start(one[head:][::-1], other[head:][::-1])
        yield Difference(inside.start_a + head, inside.end_a - tail, inside.start_b + head, inside.end_b - tail)
        return
    ends_a, ends_b = ([0, *accumulate(map(len, part))] for part in parts)
    for step in Indel.opcodes(*parts):
        if step.tag != "equal":
            yield Difference(
                inside.start_a + ends_a[step.src_start],
                inside.start_a + ends_a[step.src_end],
                inside.start_b + ends_b[step.dest_start],
                inside.start_b + ends_b[step.dest_end],
            )


def first_difference(a: str, b: str) -> FirstDifference | None:
    """Where two texts part, with `WINDOW` characters before and behind; None for equal texts."""
    if a == b:
        return None
    offset = shared_start(a, b)
    before = a[max(0, offset - WINDOW) : offset]
    line = a.count("\n", 0, offset) + 1
    return FirstDifference(offset, line, before, a[offset : offset + WINDOW], b[offset : offset + WINDOW])
