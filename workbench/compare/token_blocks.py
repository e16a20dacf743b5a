"""The blocks of two tokenisations: boundaries of both on one line, cut wherever two of them meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from workbench.compare.text import differences
from workbench.stages import Tokens

Kind = Literal["same", "split", "merged", "changed", "inserted", "lost"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Range = tuple[int, int]
Keys = tuple[Sequence[Any], Sequence[Any]]  # of each side, what makes two of its tokens the same


class Block(NamedTuple):
    """Tokens `a` of the first stand where the second has its tokens `b`; each range is [start, end).

    `same`: token for token. `split`: one became several; `merged`: several became one; `lost`: only in the first;
    `inserted`: only in the second; `changed`: none of these. `bytes_a`, `bytes_b`: the stretch of each text.
    """

    kind: Kind
    a: Range
    b: Range
    bytes_a: Range
    bytes_b: Range


def blocks_of(sides: tuple[Tokens, Tokens], texts: tuple[str, str], keys: Keys) -> list[Block]:
    """The blocks of two tokenisations of two texts; `keys` say which of their tokens are the same."""
    (a, b), axis = sides, _Axis(*texts)
    if keys[0] == keys[1]:
        return [_block((0, len(a)), (0, len(b)), keys, ((0, axis.size_a), (0, axis.size_b)))] if len(a) else []
    gaps_a = _gaps(a, axis.size_a, axis.of_a)
    gaps_b = _gaps(b, axis.size_b, axis.of_b)
    blocks: Iterable[Block] = _blocks(gaps_a, gaps_b, axis, keys)
    if texts[0] != texts[1]:
        blocks = _joined(blocks, keys, replaced=True)
    return _joined(blocks, keys, replaced=False)


class _Axis:
    """One line on which the positions of two texts stand: what they share once, then what is only in a, then in b.

    A position at the edge of what the other text has more is an interval there: both its ends are the same place.
    """

    def __init__(self, text_a: str, text_b: str) -> None:
        raw_a, raw_b = (text.encode("utf-8", "surrogatepass") for text in (text_a, text_b))
        self.size_a, self.size_b = len(raw_a), len(raw_b)
        changes = np.array(differences(text_a, text_b), np.int64).reshape(-1, 4)
        start_a, end_a = (_byte_offsets(raw_a)[changes[:, i]] for i in (0, 1))
        start_b, end_b = (_byte_offsets(raw_b)[changes[:, i]] for i in (2, 3))
        self._end_a, self._start_b = end_a, start_b
        self._only_a = np.concatenate([[0], np.cumsum(end_a - start_a)])
        self._only_b = np.concatenate([[0], np.cumsum(end_b - start_b)])
        behind_a = end_a + self._only_b[:-1]  # on the axis: where what is only in a ends, and only in b begins
        self._marks = np.stack([behind_a - (end_a - start_a), behind_a, behind_a + (end_b - start_b)], 1).ravel()
        self._marks = np.concatenate([[0], self._marks, [self.size_a + self._only_b[-1]]])
        self._in_a = np.concatenate([[0], np.stack([start_a, end_a, end_a], 1).ravel(), [self.size_a]])
        self._in_b = np.concatenate([[0], np.stack([start_b, start_b, end_b], 1).ravel(), [self.size_b]])

    def of_a(self, at: npt.NDArray[np.int64], side: Literal["left", "right"]) -> npt.NDArray[np.int64]:
        """Byte offsets of text a on the axis: the left or the right end of each place."""
        places: npt.NDArray[np.int64] = at + self._only_b[np.searchsorted(self._end_a, at, side)]
        return places

    def of_b(self, at: npt.NDArray[np.int64], side: Literal["left", "right"]) -> npt.NDArray[np.int64]:
        """The same for text b."""
        places: npt.NDArray[np.int64] = at + self._only_a[np.searchsorted(self._start_b, at, side)]
        return places

    def back(self, at: list[int]) -> list[tuple[int, int]]:
        """Places on the axis as byte offsets in both texts."""
        both = (np.interp(at, self._marks, inside).astype(np.int64).tolist() for inside in (self._in_a, self._in_b))
        return list(zip(*both, strict=True))


def _byte_offsets(raw: bytes) -> npt.NDArray[np.int64]:
    """Where each character begins, and the end."""
    starts = np.flatnonzero((np.frombuffer(raw, np.uint8) & 0xC0) != 0x80)
    return np.concatenate([starts, [len(raw)]]).astype(np.int64)


class _Gap(NamedTuple):
    """What lies between two tokens that have bytes: a place on the axis, and the tokens [first, end) without bytes."""

    left: int
    right: int
    first: int
    end: int


def _gaps(tokens: Tokens, size: int, on_axis: Any) -> list[_Gap]:
    """Before the first, between any two, and behind the last token or group of tokens that cannot be told apart."""
    units = _units(tokens.byte_spans.tolist(), size)
    ends = on_axis(np.array([0, *(unit[3] for unit in units)], np.int64), "left").tolist()
    starts = on_axis(np.array([*(unit[2] for unit in units), size], np.int64), "right").tolist()
    firsts = [0, *(unit[1] for unit in units)]
    lasts = [*(unit[0] for unit in units), len(tokens)]
    return [_Gap(*parts) for parts in zip(ends, starts, firsts, lasts, strict=True)]


def _units(spans: list[list[int]], size: int) -> list[list[int]]:
    """`[first, end, start byte, end byte]` of each token with bytes, those that share bytes or lost theirs together."""
    units: list[list[int]] = []
    at, i = 0, 0
    while i < len(spans):
        start, end = spans[i]
        last = i + 1
        if start < 0:  # not found in the text: what lies up to the next one that was
            last = next((k for k in range(i, len(spans)) if spans[k][0] >= 0), len(spans))
            start, end = at, max(at, spans[last][0] if last < len(spans) else size)
        if units and start < at:
            units[-1][1], units[-1][3] = last, max(at, end)
        elif end > start:
            units.append([i, last, start, end])
        at, i = max(at, end), last
    return units


def _blocks(a: list[_Gap], b: list[_Gap], axis: _Axis, keys: Keys) -> Iterator[Block]:
    """The blocks between the places where both have a boundary, and the tokens without bytes at these."""
    meetings = _ends_of_runs(list(_meetings(a, b)), a, b, keys)
    places = axis.back([max(a[i].left, b[j].left) for i, j in meetings])
    places[-1:] = [(axis.size_a, axis.size_b)] if len(places) > 1 else places
    yield from _without_bytes(a[0], b[0], keys, places[0])
    for ((i, j), (k, m)), (at, to) in zip(pairwise(meetings), pairwise(places), strict=True):
        own = (a[i].end, a[k].first if k > i else a[i].end)
        other = (b[j].end, b[m].first if m > j else b[j].end)
        yield _block(own, other, keys, ((at[0], to[0]), (at[1], to[1])))
        here = a[k] if k > i else _Gap(0, 0, own[1], own[1])
        there = b[m] if m > j else _Gap(0, 0, other[1], other[1])
        yield from _without_bytes(here, there, keys, to)


def _meetings(a: list[_Gap], b: list[_Gap]) -> Iterator[tuple[int, int]]:
    """The pairs of gaps that share a place, in order."""
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i].left <= b[j].right and b[j].left <= a[i].right:
            yield i, j
        right_a, right_b = a[i].right, b[j].right
        i += right_a <= right_b
        j += right_b <= right_a


def _ends_of_runs(meetings: list[tuple[int, int]], a: list[_Gap], b: list[_Gap], keys: Keys) -> list[tuple[int, int]]:
    """The meetings without those between two tokens that are both the same: most are, and none of them ends a block."""
    kept, was_same = meetings[:1], False
    for (i, j), (k, m) in pairwise(meetings):
        gap_a, gap_b = a[i], b[j]
        one_each = k - i == m - j == 1 and a[k].first - gap_a.end == b[m].first - gap_b.end == 1
        same = one_each and keys[0][gap_a.end] == keys[1][gap_b.end]
        if was_same and same and gap_a.first == gap_a.end and gap_b.first == gap_b.end:
            kept[-1] = (k, m)
        else:
            kept.append((k, m))
        was_same = same
    return kept


def _without_bytes(a: _Gap, b: _Gap, keys: Keys, place: tuple[int, int]) -> Iterator[Block]:
    """Blocks of tokens that stand for no bytes, such as a BOS that was added."""
    if a.first == a.end and b.first == b.end:
        return
    from rapidfuzz.distance import Levenshtein

    nothing = ((place[0], place[0]), (place[1], place[1]))
    for step in Levenshtein.opcodes(keys[0][a.first : a.end], keys[1][b.first : b.end]):
        own = (a.first + step.src_start, a.first + step.src_end)
        yield _block(own, (b.first + step.dest_start, b.first + step.dest_end), keys, nothing)


def _block(a: Range, b: Range, keys: Keys, where: tuple[Range, Range]) -> Block:
    n, m = a[1] - a[0], b[1] - b[0]
    kind: Kind = "changed"
    if _equal(a, b, keys):
        kind = "same"
    elif not n or not m:
        kind = "inserted" if m else "lost"
    elif (n == 1) != (m == 1):
        kind = "split" if n == 1 else "merged"
    return Block(kind, a, b, *where)


def _joined(blocks: Iterable[Block], keys: Keys, *, replaced: bool) -> list[Block]:
    """Neighbours of one kind as one block; `replaced`: what was lost and what came in its place too."""
    joined: list[Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if last is None or not _belong(last.kind, block.kind, replaced=replaced):
            joined.append(block)
            continue
        a, b = (last.a[0], block.a[1]), (last.b[0], block.b[1])
        kind: Kind = last.kind if last.kind == block.kind else "same" if _equal(a, b, keys) else "changed"
        bytes_a, bytes_b = (last.bytes_a[0], block.bytes_a[1]), (last.bytes_b[0], block.bytes_b[1])
        joined[-1] = Block(kind, a, b, bytes_a, bytes_b)
    return joined


def _belong(one: Kind, other: Kind, *, replaced: bool) -> bool:
    if one == other:
        return one in ("same", "lost", "inserted")
    return replaced and {one, other} == {"lost", "inserted"}


def _equal(a: Range, b: Range, keys: Keys) -> bool:
    return bool(keys[0][slice(*a)] == keys[1][slice(*b)])
