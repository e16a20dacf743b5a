"""The chart of one position's candidates: the same facts as the table, markup as text."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.widgets import examples
from workbench.stages import Scores
from workbench.views import candidates, figures


@pytest.fixture
def chosen():
    stages = examples.stages()
    return candidates.of_position(stages["scores"], stages["tokens"], 3, {10: b"<b>bold</b>", 11: b"\xff"})


def test_candidates_of_a_position_are_those_of_the_row_before_it(chosen):
    tokens = examples.stages()["tokens"]
    assert [c.probability for c in chosen.rows[:3]] == pytest.approx([0.6, 0.2, 0.1], rel=1e-5)
    here = [c for c in chosen.rows if c.here]
    assert [c.id for c in here] == [int(tokens.ids[3])]
    assert chosen.title.startswith("Token 3")


def test_a_token_that_is_not_among_the_best_comes_last(chosen):
    stages = examples.stages()
    far = candidates.of_position(stages["scores"], stages["tokens"], 7, {})
    assert far.rows[-1].here
    assert far.rows[-1].rank == 7
    assert len(far.rows) == 6


def test_nothing_stands_before_the_first_token_and_nothing_after_the_last_is_known():
    stages = examples.stages()
    tokens = stages["tokens"]
    assert candidates.of_position(stages["scores"], tokens, 0, {}) is None
    assert candidates.of_position(stages["scores"], tokens, len(tokens) + 1, {}) is None
    behind = candidates.of_position(stages["scores"], tokens, len(tokens), {})
    assert behind.title == "What comes after the prompt"
    assert not any(c.here for c in behind.rows)


def test_answer_steps_have_the_models_own_candidates():
    answer = examples.stages()["generation"]
    found = candidates.of_step(answer, 0, {8: b" other"})
    assert [(c.id, c.here) for c in found.rows] == [(7, True), (8, False)]
    assert candidates.of_step(answer, 99, {}) is None


def test_the_bundle_is_plain_json_and_markup_is_escaped(chosen):
    bundle = figures.candidates(chosen, theme="dark")
    layout = json.loads(json.dumps(bundle[figures.MIME]))["layout"]
    assert layout["xaxis"]["ticktext"][0] == "&lt;b&gt;bold&lt;/b&gt;"
    assert layout["xaxis"]["ticktext"][1] == "\\xff"
    assert "<b>" not in json.dumps(bundle[figures.MIME])


def test_text_chart_and_table_say_the_same(chosen):
    bundle = figures.candidates(chosen)
    bars = bundle[figures.MIME]["data"][0]
    assert bars["y"] == [c.probability for c in chosen.rows]
    for candidate in chosen.rows:
        assert candidates.percent(candidate.probability) in bundle["text/plain"]
        assert candidates.percent(candidate.probability) in candidates.view(chosen)


def test_impossible_tokens_are_left_out():
    one = np.ones(2)
    top = np.log(np.array([[0.9, 1e-300], [0.9, 0.1]]))
    top[0, 1] = -np.inf
    scores = Scores(one, one, one, one, one, np.array([[10, 11], [10, 11]]), top)
    tokens = examples.token_values([b"a", b"b"], ["normal"] * 2, [(0, 1), (1, 2)])
    found = candidates.of_position(scores, tokens, 1, {})
    assert [c.id for c in found.rows] == [10, 11]
    assert found.rows[1].here


def test_percent_reads_well():
    assert [candidates.percent(p) for p in (1.0, 0.0312, 0.0012, 4e-6, float("nan"))] == [
        "100.0 %",
        "3.1 %",
        "0.12 %",
        "4e-06",
        "–",
    ]
