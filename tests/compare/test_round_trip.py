"""Round trips: what is eaten, unlike or cut, by hand; and that nothing is lost by any tokenizer on any text."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.round_trip import CutCharacter, RoundTrip, Unlike
from workbench.stages import Tokens


def tokens(*parts: tuple[bytes, int, int]) -> Tokens:
    spans = np.array([part[1:] for part in parts], np.int32).reshape(-1, 2)
    return Tokens(np.arange(len(parts)), tuple(p[0] for p in parts), ("normal",) * len(parts), spans, spans)


def rebuilt(trip: RoundTrip) -> bytes:
    """The text from the pieces and the two lists alone."""
    unlike = {token.token: token.stands for token in trip.unlike}
    parts = [(start, trip.raw[start:end]) for start, end in trip.eaten]
    parts += [
        (start, unlike.get(i, trip.tokens.pieces[i]) or b"")
        for i, (start, _) in enumerate(trip.tokens.byte_spans.tolist())
    ]
    return b"".join(part for _, part in sorted(parts, key=lambda item: item[0]))


def test_eaten_added_and_rewritten() -> None:
    trip = RoundTrip("Hi \nyou", tokens((b"<s>", 0, 0), (b" hi", 0, 2), (b"you", 4, 7)), b"hi you")
    assert trip.eaten == ((2, 4),)
    assert trip.unlike == (Unlike(0, b"<s>", b""), Unlike(1, b" hi", b"Hi"))
    assert not trip.exact
    assert trip.first_difference is not None
    assert trip.first_difference[:3] == (0, b"", b"Hi \nyou")
    assert rebuilt(trip) == trip.raw


def test_an_answer_that_is_too_short() -> None:
    found = RoundTrip("abc", tokens((b"ab", 0, 2)), b"ab").first_difference
    assert found == (2, b"ab", b"c", b"")


def test_characters_cut_across_tokens() -> None:
    raw = "a\N{GRINNING FACE}é".encode()
    trip = RoundTrip("", tokens((raw[:2], 0, 2), (raw[2:4], 2, 4), (raw[4:6], 4, 6), (raw[6:], 6, 7)), b"")
    assert trip.cut == (CutCharacter(0, 4, raw, raw.decode()),)
    broken = RoundTrip("", tokens((b"\xf0\x9f", 0, 2), (b"x", 2, 3), (b"\xff", 3, 4), (b"\xe2", 4, 5)), b"")
    assert broken.cut == (
        CutCharacter(0, 1, b"\xf0\x9f", None),
        CutCharacter(2, 3, b"\xff", None),
        CutCharacter(3, 4, b"\xe2", None),
    )


@given(st.text(min_size=1), st.data())
def test_bytes_in_any_pieces_are_put_together_again(text: str, data: st.DataObject) -> None:
    raw = text.encode("utf-8", "replace")
    edges = [0, *sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1))))), len(raw)]
    parts = [(raw[a:b], a, b) for a, b in pairwise(edges)]
    trip = RoundTrip(raw.decode(), tokens(*parts), raw)
    assert trip.exact
    assert (trip.eaten, trip.unlike) == ((), ())
    assert all(found.text is not None for found in trip.cut)
    whole = [piece for piece, *_ in parts]
    for first, end, joined, _ in trip.cut:
        assert b"".join(whole[first:end]) == joined
    inside = {i for first, end, *_ in trip.cut for i in range(first, end)}
    for i, piece in enumerate(whole):
        if i not in inside:
            piece.decode()


@given(st.text("ab \n\u00e9\u4e16", min_size=1, max_size=8), st.data())
def test_what_is_eaten_or_put_in_is_listed(text: str, data: st.DataObject) -> None:
    """The pieces that are the text's bytes, and the two lists, are the text: not a byte is missing in them."""
    raw, parts, at = text.encode(), [], 0
    while at < len(raw):
        at = min(len(raw), at + data.draw(st.sampled_from([0, 0, 1, 2])))
        if data.draw(st.booleans()):
            parts.append((b"<s>", at, at))
        end = min(len(raw), at + data.draw(st.integers(1, 3)))
        parts.append((data.draw(st.sampled_from([raw[at:end], b" " + raw[at:end], b"?"])), at, end))
        at = end
    trip = RoundTrip(text, tokens(*parts), b"")
    assert rebuilt(trip) == raw
    covered = [place for part in [*trip.eaten, *(part[1:] for part in parts)] for place in range(*part)]
    assert sorted(covered) == list(range(len(raw)))
    assert {token.token for token in trip.unlike} == {i for i, (piece, a, b) in enumerate(parts) if piece != raw[a:b]}


def test_the_same_facts_in_every_form() -> None:
    trip = RoundTrip("é", tokens((b"\xc3", 0, 1), (b"\xa9", 1, 2)), b"\xc3")
    facts = trip.to_dict()
    json.dumps(facts)
    assert facts["cut"] == [{"first": 0, "end": 2, "data": "é", "text": "é"}]
    assert facts["first_difference"]["text"] == "\\xa9"
    assert list(trip.to_frame()["what"]) == ["cut"]
    assert repr(trip) == "RoundTrip(2 tokens, parts at byte 1; 0 eaten, 0 unlike the text, 1 characters cut)"
