"""The noise floor: measured once for a model, its settings and the machine, and small."""

import json

import pytest

from workbench import data, floor
from workbench.compare.floor import NoiseFloor
from workbench.floor import FLOORS, harmless_changes, noise_floor
from workbench.lockstep import score_both

pytestmark = pytest.mark.model


@pytest.fixture
def no_measurement(monkeypatch):
    def measured(*_):
        raise AssertionError("it was measured again")

    return lambda: monkeypatch.setattr(floor, "_measure", measured)


def test_it_is_measured_once_and_kept(toolsmith, no_measurement):
    found = noise_floor(toolsmith, anew=True)
    assert [row.change for row in found.rows] == [name for name, _ in harmless_changes(toolsmith)]
    again, one_by_one, threads = found.rows
    assert (again.mean_kl, again.gap, again.same_top) == (0, 0, 1)
    assert 0 < one_by_one.mean_kl < 1e-3
    assert one_by_one.max_kl >= one_by_one.mean_kl
    assert threads.mean_kl < 1e-3
    assert found.swing >= 2 * one_by_one.gap > 0
    no_measurement()
    assert noise_floor(toolsmith) == found
    with pytest.raises(AssertionError, match="measured again"):
        noise_floor(toolsmith.replace(**{"runtime.type_v": "q8_0"}))  # another floor


def test_a_kept_file_that_cannot_be_read_is_measured_anew(toolsmith):
    found = noise_floor(toolsmith)
    for content in ('{"rows": [{"x": 1}]}', json.dumps(found.to_dict() | {"facts": {}})):
        for path in (data.cache_dir() / FLOORS).glob("*.json"):
            path.write_text(content)
        assert noise_floor(toolsmith).rows == found.rows
    assert NoiseFloor.from_dict(json.loads(found.to_json())) == found


def test_a_change_that_is_more_than_noise_is_told_from_one_that_is_not(toolsmith, ids, hosts):
    level = noise_floor(toolsmith)
    coarse = score_both(ids, toolsmith, toolsmith.replace(**{"runtime.type_k": "q4_0"}), floor=level, hosts=hosts)
    assert coarse.beyond_floor
    assert any(flip.beyond_floor for flip in coarse.flips)
    halves = score_both(ids, toolsmith, toolsmith.replace(**{"runtime.n_ubatch": 9}), floor=level, hosts=hosts)
    assert halves.beyond_floor is False
    assert not any(flip.beyond_floor for flip in halves.flips)
    assert score_both(ids, toolsmith, toolsmith, hosts=hosts).beyond_floor is None
