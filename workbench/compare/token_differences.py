"""How each token of a sequence stands to a second sequence of ids: the same, cut otherwise, only here, beside more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.compare.text import MOST_PAIRS
from workbench.stages import Ints

Bytes = npt.NDArray[np.uint8]

# How a token stands to a second sequence. "split", "merged", "changed": other tokens stand there, several for one,
# one for several, or otherwise; "only here": nothing does; "more there": it is in both, and the other has more
# beside it.
DIFFERENCES = ("same", "split", "merged", "changed", "only here", "more there")
SAME, SPLIT, MERGED, CHANGED, ONLY_HERE, MORE_THERE = range(len(DIFFERENCES))

# A kind of `workbench.compare.token_blocks`, and the tokens [start, end) here and there.
Block = tuple[str, tuple[int, int], tuple[int, int]]
_KINDS = {"split": SPLIT, "merged": MERGED, "changed": CHANGED, "lost": ONLY_HERE}


class Differences(NamedTuple):
    """For each token an index into `DIFFERENCES`, (n,) uint8, and the other's tokens there, [start, end), (n, 2)."""

    kinds: Bytes
    others: Ints


def of_blocks(blocks: Sequence[Block], n: int) -> Differences:
    """How each of the first sequence's n tokens stands to the second, from blocks that tile both."""
    kinds, others = np.zeros(n, np.uint8), np.zeros((n, 2), np.int32)
    for kind, (start, end), (there, until) in blocks:
        if kind == "same":
            others[start:end, 0] = np.arange(there, until)
            others[start:end, 1] = others[start:end, 0] + 1
        elif kind != "inserted":
            kinds[start:end], others[start:end] = _KINDS[kind], (there, until)
    for kind, (start, _), (there, until) in blocks:
        if kind == "inserted" and n:
            at = min(start, n - 1)  # what comes before a token, or behind the last, is told of that token
            kinds[at] = MORE_THERE if kinds[at] == SAME else kinds[at]
            others[at] = (min(there, others[at, 0]), max(until, others[at, 1]))
    return Differences(kinds, others)


def blocks_of_ids(ids: Ints, other: Ints) -> list[Block]:
    """The blocks of two sequences whose texts are not known: the fewest tokens that must go or come.

    Sequences too long and too different to be held against each other are compared by position where they are
    of one length, else everything between their common ends is "changed".
    """
    shorter = min(len(ids), len(other))
    head = _shared(ids[:shorter], other[:shorter])
    tail = _shared(ids[::-1][: shorter - head], other[::-1][: shorter - head])
    blocks: list[Block] = [("same", (0, head), (0, head))]
    for kind, (start, end), (there, until) in _between(ids[head : len(ids) - tail], other[head : len(other) - tail]):
        block: Block = (kind, (start + head, end + head), (there + head, until + head))
        if kind != "same" and blocks[-1][0] != "same":  # taken out here and put in there
            _, own, others = blocks.pop()
            block = ("changed", (own[0], block[1][1]), (others[0], block[2][1]))
        blocks.append(block)
    return [*blocks, ("same", (len(ids) - tail, len(ids)), (len(other) - tail, len(other)))]


def _shared(a: Ints, b: Ints) -> int:
    """How many ids two sequences of one length begin with together."""
    unequal = np.flatnonzero(a != b)
    return int(unequal[0]) if len(unequal) else len(a)


def _between(ids: Ints, other: Ints) -> list[Block]:
    if len(ids) * len(other) <= MOST_PAIRS:
        from rapidfuzz.distance import Indel

        kinds = {"equal": "same", "delete": "lost", "insert": "inserted"}
        steps = Indel.opcodes(ids.tolist(), other.tolist())
        return [(kinds[s.tag], (s.src_start, s.src_end), (s.dest_start, s.dest_end)) for s in steps]
    if len(ids) != len(other):
        return [("changed", (0, len(ids)), (0, len(other)))]
    return [("same" if same else "changed", (i, i + 1), (i, i + 1)) for i, same in enumerate(ids == other)]
