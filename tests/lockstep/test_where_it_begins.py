"""Where two setups part: the stage that is named is the one that was changed."""

import numpy as np
import pytest

from tests.gguf import tiny
from workbench.errors import BadRequest
from workbench.lockstep import where_it_begins
from workbench.setup import Setup

pytestmark = pytest.mark.model


def test_the_same_setup_begins_nowhere(toolsmith, ids, hosts):
    drift = where_it_begins(ids, toolsmith, toolsmith, hosts=hosts)
    assert [stage.stage for stage in drift.stages] == ["embedding", *(f"layer {i}" for i in range(5))]
    assert not drift.error.any()
    assert (drift.cosine == 1).all()
    assert drift.begins is None
    assert drift.floor[1:].all()  # token by token other kernels run
    assert drift.floor.max() < 0.01


@pytest.mark.parametrize("flash", [True, False])
def test_a_coarser_key_cache_begins_behind_the_embedding(toolsmith, ids, flash, hosts):
    base = toolsmith.replace(**{"runtime.flash_attn": flash})
    drift = where_it_begins(ids, base, base.replace(**{"runtime.type_k": "q4_0"}), hosts=hosts)
    assert drift.begins.stage == "layer 0"
    assert not drift.error[0].any()
    assert drift.error.shape == (6, len(ids))
    assert drift.stages[-1].mean_error > 10 * drift.floor[-1]
    assert drift.kl.mean() > 1e-3


def test_quantised_weights_begin_at_the_embedding(toolsmith, low, ids, low_hosts):
    drift = where_it_begins(ids, toolsmith, low, floor=False, hosts=low_hosts)
    assert drift.begins.stage == "embedding"
    assert drift.floor.size == 0
    errors = drift.error[0]
    assert drift.stages[0].worst == int(np.argmax(errors))
    assert 0.01 < errors.mean() < 0.3


def test_parts_of_a_layer_can_be_looked_at(toolsmith, ids, hosts):
    coarse = toolsmith.replace(**{"runtime.type_v": "q4_0"})
    attention = where_it_begins(ids, toolsmith, coarse, tensor="attn_out", floor=False, hosts=hosts)
    whole = where_it_begins(ids, toolsmith, coarse, floor=False, hosts=hosts)
    assert attention.begins.stage == whole.begins.stage == "layer 0"
    assert attention.stages[1].mean_error > whole.stages[1].mean_error  # the layer adds it to what it was given


def test_an_unknown_name_is_not_evaluated_and_the_scores_are_there(toolsmith, low, ids, low_hosts):
    drift = where_it_begins(ids, toolsmith, low, tensor="layer_output", hosts=low_hosts)
    assert "0 of 5 tensors layer_output-0 to layer_output-4" in drift.not_evaluated
    assert drift.stages == ()
    assert drift.begins is None
    assert len(drift.kl) == len(ids)
    assert "not evaluated" in repr(drift)
    assert "not evaluated" in drift._repr_html_()


def test_other_shapes_are_refused(ids, tmp_path):
    one = tiny.model_file(tmp_path / "one.gguf")
    longer = tmp_path / "two.gguf"
    tiny.model_file(longer, width=64)
    with pytest.raises(BadRequest, match="layers of width 32 and 64"):
        where_it_begins([5, 6], Setup(model=str(one)), Setup(model=str(longer)))
