"""Figures and comparisons from hand-made outcomes."""

import json
import math

import pytest

from workbench.damage import Damage, Outcome
from workbench.damage.judge import Facts
from workbench.errors import BadRequest
from workbench.setup import Setup


def outcome(number, *, exact=True, kind="call", nats=2.0, unseen=False, why=""):
    call = kind in ("call", "two calls")
    facts = Facts(exact, True if call else None, exact if call else None, exact if call else None, None)
    return Outcome(f"r{number}", kind, unseen, facts, "text", "end-of-generation", nats, 10, None, why)


def damage(rights, **settings):
    return Damage(
        Setup.from_dict({"model": "m.gguf", **settings}), tuple(outcome(i, exact=r) for i, r in enumerate(rights))
    )


def test_figures_count_only_the_requests_that_they_are_about():
    found = Damage(
        Setup(), (outcome(1), outcome(2, exact=False, kind="two calls"), outcome(3, kind="answer", unseen=True))
    )
    counts = {row.name: (row.right, row.n) for row in found.figures()}
    assert counts["exact"] == (2, 3)
    assert counts["exact calls"] == (1, 2)
    assert counts["parsed calls"] == (2, 2)
    assert counts["exact unseen"] == (1, 1)
    assert counts["code parses"] == (0, 0)
    assert counts["nats per token"] == (None, 3)
    assert found.figure("nats per token").estimate.value == pytest.approx(0.2)


def test_an_answer_that_could_not_be_scored_counts_as_wrong_and_not_as_likely():
    found = Damage(
        Setup(), (outcome(1), outcome(2), outcome(3, exact=False, nats=math.nan, why="the prompt is too long"))
    )
    assert found.figure("exact").right == 2
    assert found.figure("nats per token").n == 2


def test_paired_counts_who_lost_what():
    before, after = damage([True] * 20 + [False] * 4), damage([True] * 8 + [False] * 12 + [True] * 2 + [False] * 2)
    change = before.against(after).change("exact")
    assert (change.only_before, change.only_after, change.n) == (12, 2, 24)
    assert change.difference.value == pytest.approx(-10 / 24)
    assert change.p == pytest.approx(2 * sum(math.comb(14, k) for k in range(3)) / 2**14)
    assert not change.significant


def test_the_same_twice_differs_in_nothing():
    paired = damage([True, False] * 20).against(damage([True, False] * 20))
    assert all(change.p == 1.0 for change in paired.changes() if change.n > 1)
    assert not any(change.significant for change in paired.changes())


def test_other_requests_are_refused():
    with pytest.raises(BadRequest, match="not the same ones"):
        damage([True]).against(damage([True, True]))


def test_an_unknown_figure_names_those_there_are():
    with pytest.raises(BadRequest, match="accepted are exact, exact unseen"):
        damage([True]).figure("nothing")


def test_json_both_ways_and_frames():
    found = Damage(
        Setup(), (outcome(1), outcome(2, exact=False, nats=math.nan)), ("cancelled after 2 of 500 requests",)
    )
    assert Damage.from_dict(json.loads(found.to_json())) == found
    assert found.to_frame()["figure"][0] == "exact"
    assert list(found.requests_frame()["exact"]) == [True, False]
    paired = found.against(found)
    assert type(paired).from_dict(json.loads(paired.to_json())) == paired
    assert "p" in paired.to_frame()


def test_repr_and_chart_say_the_same():
    found = damage([True, False, True, True])
    assert "3 of 4 right" in repr(found)
    chart = found.plot()
    assert "3 of 4" in repr(chart)
    figure = chart.bundle["application/vnd.plotly.v1+json"]
    assert figure["data"][0]["x"][0] == 0.75
    assert len(found.against(found).plot(theme="dark").bundle["application/vnd.plotly.v1+json"]["data"]) == 2
