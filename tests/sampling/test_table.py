"""One token as a table: what each sampler removed, raised and lowered, and the number that was drawn."""

import json

import pytest

from workbench.errors import BadRequest
from workbench.sampling.table import draw_words, percent, sampler_table, sampler_trace
from workbench.stages import Draw, Generation, SamplerStage, Step
from workbench.values import FrozenJSON

# Three candidates of 60, 30 and 10 %: one lowered, one removed, then the first is drawn.
STAGES = (
    SamplerStage("penalties", 3, 0, (2, 1, 3), (0.6, 0.2, 0.2), 1.0, (0.2, 0.6, 0.2)),
    SamplerStage("top-k", 2, 1, (2, 1), (0.75, 0.25), 0.8, (0.25, 0.75, 0.0)),
    SamplerStage("min-p", 2, 0, (2, 1), (0.75, 0.25), 1.0, (0.25, 0.75, 0.0)),
    SamplerStage("dist", 2, 0, (2, 1), (0.75, 0.25), 1.0, (0.25, 0.75, 0.0), Draw(0.5, 0.0, 0.75)),
)


def step(**changes):
    fields = {
        "id": 2,
        "piece": b"b",
        "type": "normal",
        "logprob": -1.2,
        "rank": 2,
        "entropy": 0.9,
        "margin": 0.7,
        "top_ids": (1, 2, 3),
        "top_logprobs": (-0.5, -1.2, -2.3),
        "stages": STAGES,
        "watched": (1, 2, 3),
        "pieces": (b'"', b"b", b"\xff"),
        "before": (0.6, 0.3, 0.1),
    }
    return Step(**(fields | changes))


def generation(*steps):
    return Generation(steps or (step(),), "max-tokens", "", "b", FrozenJSON({"seed": 0}))


def test_effects():
    table = sampler_table(generation(), 0)
    assert [(item.id, item.effects) for item in table.candidates] == [
        (1, ("lowered", "same", "same", "same")),
        (2, ("raised", "same", "same", "same")),
        (3, ("raised", "removed", "gone", "gone")),
    ]
    assert (table.n_before, table.first_places, table.changed_by) == (3, (1, 2, 2, 2, 2), "penalties")
    assert table.piece == b"b"


def test_the_text_names_everything():
    text = repr(sampler_table(generation(), 0))
    for part in ("penalties", "20.0% ▼", "60.0% ▲", "✕", "·", "→ 'b' 2", "\\\\xff", "candidates left", "0.5000"):
        assert part in text, part


def test_the_frame_and_the_json_hold_the_same():
    table = sampler_table(generation(), 0)
    frame = table.to_frame()
    assert list(frame["penalties"]) == [0.2, 0.6, 0.2]
    assert list(frame["drawn"]) == [False, True, False]
    data = json.loads(table.to_json())
    assert data["candidates"][2]["effects"] == ["raised", "removed", "gone", "gone"]
    assert data["stages"][3]["draw"] == {"number": 0.5, "low": 0.0, "high": 0.75}


def test_a_sampler_that_works_twice_has_two_columns():
    first, second, *rest = STAGES
    table = sampler_table(generation(step(stages=(first, second, first._replace(probs=(0.5, 0.5, 0.0)), *rest))), 0)
    frame = table.to_frame()
    assert list(frame["penalties"]) == [0.2, 0.6, 0.2]
    assert list(frame["penalties (2)"]) == [0.5, 0.5, 0.0]
    assert {"penalties: effect", "penalties (2): effect"} < set(frame.columns)


def test_a_generation_keeps_it_in_json():
    value = generation()
    assert Generation.from_dict(json.loads(value.to_json())) == value


def test_an_answer_from_before_is_said():
    old = generation(step(watched=(), pieces=(), before=()))
    with pytest.raises(BadRequest, match="without its candidates"):
        sampler_table(old, 0)
    data = value = generation().to_dict()
    for stage in data["steps"][0]["stages"]:
        for name in ("kept", "probs", "draw"):
            del stage[name]
    for name in ("watched", "pieces", "before"):
        del value["steps"][0][name]
    assert Generation.from_dict(data).steps[0].stages[0].kept == 1.0


def test_no_such_token():
    trace = sampler_trace(generation())
    assert (len(trace), trace[0].index, trace[-1].index) == (1, 0, 0)
    for index in (1, -2):
        with pytest.raises(BadRequest, match="accepted are 0 to 0"):
            trace[index]
    with pytest.raises(BadRequest, match="no token 5"):
        sampler_table(generation(), 5)
    with pytest.raises(BadRequest, match="there is no answer; accepted is a trace that reached"):
        sampler_trace(None)
    assert "1 where a sampler took the model's first place" in repr(trace)
    assert list(trace.to_frame()["first place lost to"]) == ["penalties"]


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (STAGES[0], ""),
        (STAGES[3], "it drew 0.5000; the drawn token's share is 0.0000 to 0.7500"),
        (STAGES[3]._replace(draw=Draw(None, 0.0, 0.75)), "the number it drew is not known"),
        (STAGES[3]._replace(n_left=1), "one candidate was left"),
        (STAGES[1]._replace(name="xtc", draw=Draw(0.3, 0.0, 0.5)), "it drew 0.3000, at most 0.5: at work"),
        (STAGES[1]._replace(name="xtc", draw=Draw(0.7, 0.0, 0.5)), "it drew 0.7000, above 0.5: left out"),
        (STAGES[1]._replace(name="xtc", draw=Draw(None, 0.0, 0.5)), "not known"),
    ],
)
def test_the_draw_in_words(stage, words):
    assert words in draw_words(stage)
    assert bool(words) == bool(draw_words(stage))


def test_probabilities_for_people():
    assert [percent(p) for p in (1.0, 0.123, 0.0042, 3e-6, 0.0)] == ["100.0%", "12.3%", "0.42%", "3e-06", "0"]
