"""Where two texts differ, by words, white space and marks rather than by single characters."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import NamedTuple

# What a reader takes for one thing: a mark such as <|im_end|> or [/INST], a word, a run of equal white space, a sign.
_PIECE = re.compile(
    r"<\|[^<>|\s]{1,60}\|>|</?[A-Za-z_][^<>\s]{0,60}>|\[/?[A-Z_]{2,30}\]|\w+|\n| +|\s|[^\w\s]", re.UNICODE
)
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
    """What was replaced, taken out or put in, in order; the least in number of words. Empty for equal texts."""
    if a == b:
        return ()
    from rapidfuzz.distance import Indel

    pieces_a, pieces_b = _PIECE.findall(a), _PIECE.findall(b)
    ends_a, ends_b = ([0, *accumulate(map(len, pieces))] for pieces in (pieces_a, pieces_b))
    found: list[Difference] = []
    for step in Indel.opcodes(pieces_a, pieces_b):
        if step.tag == "equal":
            continue
        at = Difference(ends_a[step.src_start], ends_a[step.src_end], ends_b[step.dest_start], ends_b[step.dest_end])
        if found and (found[-1].end_a, found[-1].end_b) == (at.start_a, at.start_b):
            at = Difference(found[-1].start_a, at.end_a, found.pop().start_b, at.end_b)
        found.append(at)
    return tuple(found)


def first_difference(a: str, b: str) -> FirstDifference | None:
    """Where two texts part, with `WINDOW` characters before and behind; None for equal texts."""
    if a == b:
        return None
    shorter = min(len(a), len(b))
    offset = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    before = a[max(0, offset - WINDOW) : offset]
    line = a.count("\n", 0, offset) + 1
    return FirstDifference(offset, line, before, a[offset : offset + WINDOW], b[offset : offset + WINDOW])
