"""Views of lens, drift, score pairs, surprises, floor and branches: any text stays text, charts are JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.compare.test_layers import drift, lens
from tests.compare.test_scores import OTHER, ROWS, scores
from tests.views.test_views import TEXTS, Reader, is_plain
from tests.widgets import examples
from workbench.compare.branches import Branch, Branches
from workbench.compare.floor import FloorRow, NoiseFloor
from workbench.compare.layers import Drift, GroupEffect, TensorGroups
from workbench.compare.lens import Lens
from workbench.compare.places import Place
from workbench.compare.scores import ScoresPair, compare_scores
from workbench.compare.surprises import surprises
from workbench.values import FrozenJSON
from workbench.views import html_of
from workbench.views.figures import MIME


def values(text):
    """One of each kind, `text` in every place that can hold one."""
    raw = text.encode("utf-8", "surrogatepass") + b"\xff"
    stages = examples.stages(text, text)
    found = compare_scores(scores(ROWS, [0, 1, 2]), scores(OTHER, [0, 1, 2]))
    floor = NoiseFloor((FloorRow(text, 3, 1e-6, 1e-5, 1.0, 0.1, 0.0),))
    changes = FrozenJSON({"model": [text, text + "b"]})
    where = (Place(text, text),) * 3
    names = ((0, raw), (1, raw))
    pair = ScoresPair(found.a, found.b, found.kl, changes, where, (raw,) * 3, names, floor, (text,))
    hostile = Lens(
        **{name: getattr(lens(), name) for name in Lens.ARRAYS},
        here=(raw, raw),
        pieces=tuple((token, raw) for token in (5, 7, 8, 9)),
    )
    effect = GroupEffect(text, 5, ("Q4_0", "F16"), 100, 0.1, 0.2, 0.9, 0.5)
    answer = stages["generation"]
    return {
        "pair": pair,
        "floor": floor,
        "lens": hostile,
        "no lens": Lens(*[np.zeros(0)] * 7, not_evaluated=text or "why"),  # type: ignore[misc]  # seven arrays
        "drift": drift([0, 0.0001, 0.0001, 0.0001], pieces=(raw,) * 3, changes=changes, notes=(text,)),
        "no drift": Drift(*[np.zeros((0, 0))] * 2, np.zeros(3), np.zeros(0), not_evaluated=text or "why"),  # type: ignore[call-arg, misc]  # two arrays
        "groups": TensorGroups(text, text, 9, 0.2, 0.4, 0.8, (effect,), (text,), (text,)),
        "surprises": surprises(stages["scores"], stages["tokens"], stages["rendered"]),
        "branches": Branches(stages["tokens"], answer, (Branch(1, 7, raw, raw, answer, 1, -0.5, 2),)),
    }


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [*values("x")])
def test_text_stays_text(name, text):
    is_plain(html_of(values(text)[name]))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["pair", "lens", "drift", "groups"])
def test_charts_are_plain_json_without_markup(name, theme):
    value = values("<b>&</b></script>")[name]
    chart = value.plot(theme=theme)
    figure = json.loads(json.dumps(chart.bundle[MIME], allow_nan=False))
    assert figure["data"]
    assert "<b>" not in json.dumps(figure["data"])
    assert str(chart)


def test_the_verdict_stands_beside_the_floor():
    pair = values("x")["pair"]
    assert "more than noise" in Reader(html_of(pair)).text
    quiet = ScoresPair(pair.a, pair.a, np.zeros(3), floor=pair.floor)
    assert "within the noise" in Reader(html_of(quiet)).text
    bare = ScoresPair(pair.a, pair.b, pair.kl)
    assert "noise floor not measured" in Reader(html_of(bare)).text


def test_where_it_begins_is_marked():
    assert "it begins at: layer 0" in Reader(html_of(drift())).text
    assert "no stage differs" in Reader(html_of(drift([1, 1, 1, 1]))).text


def test_what_a_branch_shares_and_what_was_put_in():
    shown = Reader(html_of(values("Paris")["branches"])).text
    assert "step 1" in shown
    assert "1 tokens" in shown
    assert shown.count("Paris") >= 3


def test_long_values_are_cut_with_a_count():
    n = 200
    one = examples.scored(n)
    flipped = ScoresPair(
        one,
        type(one)(**{k: getattr(one, k) for k in one.ARRAYS if k != "top_ids"}, top_ids=one.top_ids + 1),
        np.ones(n),
    )
    assert "160 more flips not shown (of 200)" in html_of(flipped)
