"""Alignments of token sequences: they tile both, are minimal, and say what a pair made by hand is known to be."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.token_blocks import KINDS
from workbench.compare.tokens import TokenAlignment, align_tokens
from workbench.stages import Tokens

LOST = (-1, -1)


def made(*parts: tuple[int, int, int]) -> Tokens:
    """Tokens of the text `abcdefgh` from (id, start, end)."""
    spans = np.array([part[1:] for part in parts], np.int32).reshape(-1, 2)
    pieces = tuple(b"abcdefgh"[start:end] for start, end in spans)
    return Tokens(np.array([part[0] for part in parts]), pieces, ("normal",) * len(parts), spans, spans)


def kinds(found: TokenAlignment) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    return [(block.kind, block.a, block.b) for block in found.blocks]


def test_each_kind() -> None:
    a = made((1, 0, 2), (2, 2, 4), (3, 4, 5), (4, 5, 6), (5, 6, 7), (6, 7, 8))
    b = made((9, 0, 0), (1, 0, 2), (7, 2, 3), (8, 3, 4), (6, 4, 6), (5, 7, 8))
    found = align_tokens(a, b, "abcdefgh")
    assert kinds(found) == [
        ("inserted", (0, 0), (0, 1)),
        ("same", (0, 1), (1, 2)),
        ("split", (1, 2), (2, 4)),
        ("merged", (2, 4), (4, 5)),
        ("lost", (4, 5), (5, 5)),  # the second has no token for the byte g
        ("changed", (5, 6), (5, 6)),
    ]
    assert [block.bytes_a for block in found.blocks] == [(0, 0), (0, 2), (2, 4), (4, 6), (6, 7), (7, 8)]
    assert found.first_difference == found.blocks[0]
    assert found.counts == dict.fromkeys(KINDS, 1)
    assert not found.agree


def test_another_cut_is_changed() -> None:
    a, b = made((1, 0, 1), (2, 1, 4)), made((3, 0, 3), (4, 3, 4))
    assert kinds(align_tokens(a, b, "abcd")) == [("changed", (0, 2), (0, 2))]


def test_another_bos_is_changed_and_a_second_one_inserted() -> None:
    a, b, c = (made(*((i, 0, 0) for i in ids), (5, 0, 8)) for ids in ([1], [2], [1, 1]))
    assert kinds(align_tokens(a, b, "abcdefgh")) == [("changed", (0, 1), (0, 1)), ("same", (1, 2), (1, 2))]
    assert align_tokens(a, c, "abcdefgh").counts["inserted"] == 1
    assert align_tokens(c, a, "abcdefgh").counts["lost"] == 1


def words(text: str, *ids: int) -> tuple[Tokens, str]:
    """Tokens as the bars cut the text, and the text without bars."""
    parts = [part.encode() for part in text.split("|")]
    ends = np.cumsum([0, *map(len, parts)])
    spans = np.stack([ends[:-1], ends[1:]], 1)
    return Tokens(np.array(ids), tuple(parts), ("normal",) * len(ids), spans, spans), text.replace("|", "")


def test_different_texts() -> None:
    (a, text_a), (b, text_b) = words("to| be| kind", 1, 2, 3), words("to| bear| é| kind", 1, 4, 5, 3)
    found = align_tokens(a, b, text_a, text_b)
    assert kinds(found) == [
        ("same", (0, 1), (0, 1)),
        ("changed", (1, 2), (1, 2)),
        ("inserted", (2, 2), (2, 3)),
        ("same", (2, 3), (3, 4)),
    ]
    assert [block.bytes_a for block in found.blocks] == [(0, 2), (2, 5), (5, 5), (5, 10)]
    assert [block.bytes_b for block in found.blocks] == [(0, 2), (2, 7), (7, 10), (10, 15)]
    (a, text_a), (b, text_b) = words("x|[INST]|y", 1, 2, 3), words("x|<s>|y", 1, 4, 3)
    assert [block.kind for block in align_tokens(a, b, text_a, text_b).blocks] == ["same", "changed", "same"]


def test_other_text_and_the_same_ids() -> None:
    a = made((1, 0, 1), (2, 2, 3))  # the first token eats what stands behind it
    b = made((1, 0, 1), (2, 1, 2))
    found = align_tokens(a, b, "a c", "ac")
    assert found.same_ids
    assert not found.same_text
    assert [block.kind for block in found.blocks] == ["same"]
    assert "same ids, other text" in repr(found)
    written, added = made((9, 0, 3), (1, 3, 4)), made((9, 0, 0), (1, 0, 1), (2, 1, 2))
    assert [block.kind for block in align_tokens(written, added, "<s>x", "xy").blocks] == ["same", "inserted"]


def test_pieces_count_where_ids_cannot() -> None:
    a, b = made((1, 0, 2), (2, 2, 4)), made((7, 0, 2), (8, 2, 4))
    found = align_tokens(a, b, "abcd")
    assert (found.agree, found.renumbered) == (False, 2)
    assert align_tokens(a, b, "abcd", by="pieces").agree


def test_nothing_at_all() -> None:
    none = made()
    assert align_tokens(none, none, "").blocks == ()
    assert repr(align_tokens(none, none, "")) == "TokenAlignment(a: 0 | b: 0; no token)"
    assert kinds(align_tokens(none, made((1, 0, 0)), "")) == [("inserted", (0, 0), (0, 1))]


def test_the_same_facts_in_every_form() -> None:
    found = align_tokens(made((1, 0, 8)), made((2, 0, 4), (3, 4, 8)), "abcdefgh", names=("x", "y"))
    facts = found.to_dict()
    json.dumps(facts)
    assert facts["first_difference"] == facts["blocks"][0]
    assert list(found.to_frame()["pieces b"]) == [["abcd", "efgh"]]
    assert repr(found) == "TokenAlignment(x: 1 | y: 2; 1 split)"


@st.composite
def tokenised(draw: st.DrawFn, size: int, *, lost: bool = False) -> Tokens:
    """Any tokens of a text of `size` bytes: some bytes eaten, some tokens without bytes, some not found."""
    parts: list[tuple[int, int, int]] = []
    at = 0
    while True:
        empty = draw(st.lists(st.integers(1, 3), max_size=2))
        parts += [(number, at, at) for number in empty]
        at += draw(st.sampled_from([0, 0, 0, 1]))
        if at >= size:
            break
        end = min(size, at + draw(st.integers(1, 4)))
        found = (-1, -1) if lost and draw(st.integers(0, 4)) == 0 else (at, end)
        parts.append((draw(st.integers(1, 3)), *found))
        at = end
    spans = np.array([part[1:] for part in parts], np.int32).reshape(-1, 2)
    return Tokens([p[0] for p in parts], (b"x",) * len(parts), ("normal",) * len(parts), spans, spans)  # type: ignore[arg-type]


def check_tiling(found: TokenAlignment, sizes: tuple[int, int]) -> None:
    for name, end in (("a", len(found.a)), ("b", len(found.b)), ("bytes_a", sizes[0]), ("bytes_b", sizes[1])):
        ranges = [getattr(block, name) for block in found.blocks]
        edges = [0, *(edge for pair in ranges for edge in pair), end]
        assert all(edges[i] == edges[i + 1] for i in range(0, len(edges), 2)), (name, ranges)


def check_kinds(found: TokenAlignment) -> None:
    for kind, a, b, _, _ in found.blocks:
        n, m = a[1] - a[0], b[1] - b[0]
        ids = found.a.ids[slice(*a)].tolist(), found.b.ids[slice(*b)].tolist()
        assert n or m
        assert (kind == "same") == (ids[0] == ids[1])
        assert (kind == "lost") == (m == 0)
        assert (kind == "inserted") == (n == 0)
        if kind in ("split", "merged"):
            assert {n == 1, m == 1} == {True, False}


def boundaries(tokens: Tokens, size: int) -> list[tuple[int, int]]:
    """Between which bytes each boundary may lie."""
    spans = tokens.byte_spans.tolist()
    return list(zip([0, *(end for _, end in spans)], [*(start for start, _ in spans), size], strict=True))


@given(st.data(), st.integers(1, 14))
def test_blocks_tile_and_are_minimal(data: st.DataObject, size: int) -> None:
    a, b = data.draw(tokenised(size)), data.draw(tokenised(size))
    found = align_tokens(a, b, "x" * size)
    stands = any(start < end for side in (a, b) for start, end in side.byte_spans.tolist())
    whole = stands or (found.same_ids and len(a))  # with nothing that stands in the text there is nothing to place
    check_tiling(found, (size, size) if whole else (0, 0))
    check_kinds(found)
    edges_a, edges_b = boundaries(a, size), boundaries(b, size)
    for kind, (start_a, end_a), (start_b, end_b), where, _ in found.blocks:
        if kind in ("same", "lost", "inserted") or where[0] == where[1]:
            continue
        for i in range(start_a, end_a + 1):
            for j in range(start_b, end_b + 1):
                corner = (i, j) in ((start_a, start_b), (end_a, end_b))
                meet = edges_a[i][0] <= edges_b[j][1] and edges_b[j][0] <= edges_a[i][1]
                assert corner or not meet, (found.blocks, i, j)


@given(st.data(), st.integers(1, 14), st.text("ab <|>\né", max_size=12), st.text("ab <|>\né", max_size=12))
def test_any_two_texts_and_lost_tokens(data: st.DataObject, size: int, text_a: str, text_b: str) -> None:
    sizes = len(text_a.encode()), len(text_b.encode())
    a, b = data.draw(tokenised(sizes[0], lost=True)), data.draw(tokenised(sizes[1], lost=True))
    found = align_tokens(a, b, text_a, text_b)
    check_kinds(found)
    if len(a) and (found.same_ids or (len(b) and all(sizes))):
        check_tiling(found, sizes)
    again = align_tokens(b, a, text_b, text_a)
    assert again.same_ids == found.same_ids


def test_many_tokens_at_once() -> None:
    n = 50_000
    spans = np.stack([np.arange(n), np.arange(n) + 1], 1)
    a = Tokens(np.arange(n) % 900, (b"x",) * n, ("normal",) * n, spans, spans)
    other = np.where(np.arange(n) % 10 == 0, 999, np.arange(n) % 900)
    b = Tokens(other, (b"x",) * n, ("normal",) * n, spans, spans)
    assert align_tokens(a, b, "x" * n).counts == dict.fromkeys(KINDS, 0) | {"same": n - n // 10, "changed": n // 10}
