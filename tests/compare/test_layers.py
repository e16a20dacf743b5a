"""Drift, lens and tensor groups of hand-made numbers."""

import json

import numpy as np
import pytest

from workbench.compare.layers import Drift, GroupEffect, TensorGroups
from workbench.compare.lens import Lens
from workbench.values import FrozenJSON

ERROR = np.array([[0, 0, 0], [0.001, 0.002, 0.003], [0.1, 0.4, 0.1], [0.2, 0.4, 0.3]])


def drift(floor=(), **more):
    return Drift(ERROR, 1 - ERROR, np.zeros(3), np.array(floor), **more)


def test_it_begins_where_the_error_is_more_than_the_floor():
    assert drift().begins.stage == "layer 0"
    assert drift([0, 0.0001, 0.0001, 0.0001]).begins.stage == "layer 0"
    assert drift([0, 0.001, 0.001, 0.001]).begins.stage == "layer 1"
    assert drift([1, 1, 1, 1]).begins is None
    assert drift().steepest.stage == "layer 1"


def test_each_stage_names_its_worst_position():
    stage = drift().stages[2]
    assert (stage.stage, stage.worst) == ("layer 1", 1)
    assert (stage.mean_error, stage.max_error) == pytest.approx((0.2, 0.4))
    assert (stage.mean_cosine, stage.min_cosine) == pytest.approx((0.8, 0.6))
    assert stage.floor is None
    assert drift([1, 2, 3, 4]).stages[2].floor == 3


def test_a_stage_that_was_not_seen_is_left_out():
    error = ERROR.copy()
    error[0] = np.nan
    found = Drift(error, error, np.zeros(3), np.zeros(0))
    assert [stage.stage for stage in found.stages] == ["layer 0", "layer 1", "layer 2"]
    assert found.begins.stage == "layer 0"
    nothing = Drift(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(3), np.zeros(0), not_evaluated="why")
    assert (nothing.begins, nothing.steepest, nothing.stages) == (None, None, ())


def lens(**more):
    best = np.array([[[7], [7]], [[8], [7]], [[9], [7]], [[9], [5]]])
    shape = best.shape[:2]
    logprob = np.log(np.full(shape, 0.25))
    logprob[:, 1] = np.nan
    return Lens(
        positions=[3, 9],
        following=[9, -1],
        logprob=logprob,
        rank=np.where(np.isnan(logprob), 0, 2),
        entropy=np.ones(shape),
        top_ids=best,
        top_logprobs=np.log(np.full(best.shape, 0.5)),
        here=(b" a", b"\xff"),
        pieces=((5, b"<b>"), (7, b"\xe2\x82"), (8, b"x"), (9, b" y")),
        **more,
    )


def test_the_first_place_settles_where_it_no_longer_changes():
    assert lens().stages == ("embedding", "layer 0", "layer 1", "layer 2")
    assert lens().settled(3) == "layer 1"
    assert lens().settled(9) == "layer 2"
    assert [reading.first for reading in lens().readings(3)] == [7, 8, 9, 9]
    with pytest.raises(KeyError):
        lens().readings(4)


def test_a_lens_always_says_what_it_is_not():
    assert "not what the model thinks" in lens().caveat
    assert "not what the model thinks" in repr(lens())
    assert lens().to_dict()["caveat"] == lens().caveat
    assert lens().caveat.split(":")[0] in lens()._repr_html_().replace("&#x27;", "'")
    assert "not what the model thinks" in str(lens().plot())


def test_there_and_back_again():
    assert Lens.from_dict(lens().to_dict()) == lens()
    whole = drift([0, 1, 2, 3], pieces=(b"a", b"\xff", b""), changes=FrozenJSON({"model": ["a", "b"]}), notes=("n",))
    assert Drift.from_dict(json.loads(whole.to_json())) == whole
    none = Drift(np.zeros(0), np.zeros(0), np.zeros(3), np.zeros(0), not_evaluated="why")
    assert Drift.from_dict(json.loads(none.to_json())) == none
    assert lens() != lens(off_nats=1.0)
    assert len(lens().to_frame()) == 8
    effect = GroupEffect("attn_q", 5, ("Q4_0", "F16"), 100, 0.1, 0.2, 0.9, 0.5)
    groups = TensorGroups("high", "low", 9, 0.2, 0.4, 0.8, (effect,), ("norms",), ("note",))
    assert TensorGroups.from_dict(groups.to_dict()) == groups
    assert groups.to_frame()["types"][0] == "Q4_0 → F16"
