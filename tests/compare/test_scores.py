"""Divergence, flips and sums of hand-made scores; the arithmetic held against the definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.compare.floor import FloorRow, NoiseFloor
from workbench.compare.places import Place, places
from workbench.compare.scores import ScoresPair, compare_scores
from workbench.errors import BadRequest
from workbench.runtime.exchange import drift, kl_rows
from workbench.stages import Rendered, Scores, Span, Tokens
from workbench.values import FrozenJSON

ROWS = [[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [1.0, 1.0, 4.0]]
OTHER = [[2.0, 1.0, 0.0], [2.5, 2.0, 0.0], [1.0, 1.0, 4.0]]


def scores(rows, ids, k=2):
    """Scores of rows of logits, by the book."""
    x = np.array(rows, np.float64)
    logprob = x - np.logaddexp.reduce(x, axis=1, keepdims=True)
    order = np.argsort(-x, axis=1, kind="stable")
    best = np.take_along_axis(logprob, order, axis=1)
    following = [logprob[i, ids[i + 1]] if i + 1 < len(ids) else np.nan for i in range(len(ids))]
    ranks = [1 + int((x[i] > x[i, ids[i + 1]]).sum()) if i + 1 < len(ids) else 0 for i in range(len(ids))]
    entropy, sums = -(np.exp(logprob) * logprob).sum(axis=1), np.logaddexp.reduce(x, axis=1)
    margin = best[:, 0] - best[:, 1]
    logits = tuple(enumerate(x.astype(np.float32)))
    return Scores(following, ranks, entropy, sums, margin, order[:, :k], best[:, :k], logits)


def pair(**more):
    found = compare_scores(scores(ROWS, [0, 1, 2]), scores(OTHER, [0, 1, 2]))
    return ScoresPair(found.a, found.b, found.kl, **more)


def by_the_book(a, b):
    p, q = (np.array(x, np.float64) - np.logaddexp.reduce(np.array(x, np.float64)) for x in (a, b))
    return float((np.exp(p) * (p - q)).sum())


def test_one_position_differs_by_a_known_amount():
    found = pair()
    assert found.kl == pytest.approx([0, by_the_book(ROWS[1], OTHER[1]), 0])
    assert [flip.position for flip in found.flips] == [1]
    flip = found.flips[0]
    assert (flip.a, flip.b) == (1, 0)
    assert (flip.margin_a, flip.margin_b) == pytest.approx((3.0, 0.5))
    assert flip.beyond_floor is None
    assert found.same_top == pytest.approx(2 / 3)
    assert found.overlap.tolist() == [1, 1, 1]
    assert found.mean_kl == pytest.approx(found.kl[1] / 3)


def test_equal_scores_give_nothing():
    one = scores(ROWS, [0, 1, 2])
    found = compare_scores(one, one)
    assert not found.kl.any()
    assert found.flips == ()
    assert found.beyond_floor is None


def test_without_logits_the_divergence_is_not_known():
    bare = Scores.from_dict(scores(ROWS, [0, 1, 2]).to_dict())
    found = compare_scores(bare, bare)
    assert np.isnan(found.kl).all()
    assert np.isnan(found.mean_kl)
    assert json.loads(found.to_json())["kl"] == [None] * 3
    with pytest.raises(BadRequest, match="3 and 2 positions"):
        compare_scores(bare, scores(ROWS[:2], [0, 1]))


@pytest.mark.parametrize(("swing", "beyond"), [(3.4, True), (3.6, False)])
def test_a_flip_counts_where_both_margins_are_more_than_noise(swing, beyond):
    floor = NoiseFloor((FloorRow("again", 3, 1e-6, 1e-5, 1.0, swing / 2, 0.0),))
    found = pair(floor=floor)
    assert floor.swing == swing
    assert found.flips[0].beyond_floor is beyond
    assert found.beyond_floor is True


def test_a_flip_that_noise_itself_made_counts_in_the_floor():
    row = pair().as_floor_row("again")
    assert row.swing == pytest.approx(3.5)
    assert NoiseFloor((row,)).swing >= 3.5
    assert NoiseFloor(()).mean_kl == 0


def test_whose_text_it_is():
    where = (Place("template", ""), Place("message", "messages[0]"), Place("message", "messages[1]"))
    found = pair(places=where, changes=FrozenJSON({"runtime.type_k": ["f16", "q4_0"]}))
    assert [group.name for group in found.groups("message")] == ["messages[0]", "messages[1]", "answer"]
    assert [group.name for group in found.groups()] == ["message", "answer"]
    assert [group.flips for group in found.groups("message")] == [0, 1, 0]
    assert found.groups()[0].mean_kl == pytest.approx(found.kl[:2].mean())
    assert [group.name for group in pair().groups()] == ["unknown"]


def test_there_and_back_again():
    floor = NoiseFloor((FloorRow("again", 3, 1e-6, 1e-5, 1.0, 0.1, 0.0),), FrozenJSON({"cpu": "x"}))
    where, changes = (Place("message", "messages[0]"),) * 3, FrozenJSON({"runtime.n_batch": [1, 2]})
    found = pair(places=where, changes=changes, pieces=(b"a", b"\xff", b""), names=((0, b"\xff"),), floor=floor)
    again = ScoresPair.from_dict(json.loads(found.to_json()))
    assert again.to_json() == found.to_json()
    assert (again.names, again.pieces, again.floor) == (found.names, found.pieces, found.floor)


def test_tokens_belong_to_the_span_of_their_first_character():
    spans = (Span(0, 3, "template"), Span(3, 7, "message", "messages[2].content"), Span(7, 9, "tool", "tools[1]"))
    rendered = Rendered("e", "0", "abcdefghi", spans=spans)
    at = np.array([[0, 0], [0, 4], [4, 7], [7, 9], [-1, -1]])
    tokens = Tokens(np.arange(5), (b"x",) * 5, ("normal",) * 5, at, at, added=((0, "bos"),))
    origins = [(place.origin, place.message) for place in places(tokens, rendered)]
    assert origins == [
        ("added", ""),
        ("template", ""),
        ("message", "messages[2]"),
        ("tool", "tools[1]"),
        ("unknown", ""),
    ]
    assert {place.origin for place in places(tokens, None)} == {"added", "unknown"}


LOGITS = arrays(np.float32, (4, 37), elements=st.floats(-40, 40, width=32))


@given(LOGITS, LOGITS)
def test_the_arithmetic_is_the_definition(a, b):
    found = kl_rows(a, b)
    assert found == pytest.approx([by_the_book(x, y) for x, y in zip(a, b, strict=True)], rel=1e-9, abs=1e-12)
    assert (found >= 0).all()


@given(LOGITS, st.floats(-5, 5, width=16))
def test_logits_that_are_shifted_as_a_whole_are_the_same_distribution(a, shift):
    assert kl_rows(a, (a.astype(np.float64) + shift)) == pytest.approx(0, abs=1e-12)


def test_ids_that_are_excluded():
    a, b = np.array([[1.0, -np.inf, 2.0]], np.float32), np.array([[1.0, 5.0, 2.0]], np.float32)
    p = np.exp([1, 2]) / np.exp([1, 2]).sum()
    q = (np.exp([1, 5, 2]) / np.exp([1, 5, 2]).sum())[[0, 2]]
    assert kl_rows(a, b)[0] == pytest.approx((p * np.log(p / q)).sum())
    assert kl_rows(b, a)[0] == np.inf  # b excludes what a expects
    assert kl_rows(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)).shape == (0,)


def test_error_and_cosine_of_outputs():
    a, b = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]])
    error, cosine = drift(a, b)
    assert error[:2] == pytest.approx([0, np.sqrt(2)])
    assert cosine[:2] == pytest.approx([1, 0])
    assert error[2] == np.inf
    assert np.isnan(cosine[2])
