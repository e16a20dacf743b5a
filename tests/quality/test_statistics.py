"""The figures by themselves: hand-made positions give the known figure, and the tool's own formulas hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.quality.statistics import KINDS, figures, mean, percentile

NATS = arrays(np.float32, st.integers(12, 60), elements=st.floats(0, 20, width=32))


def hand_made():
    """Two hundred positions: the base is sure of half of them and wrong on none; the candidate halves its trust."""
    nll_base = np.log(np.tile([1.0, 2.0], 100))
    return nll_base, nll_base + math.log(2), np.tile([0.1, 0.3], 100), np.arange(200) % 4 != 0


def test_hand_made_positions_give_the_known_figures():
    found = figures(*hand_made())
    assert list(found) == [kind.name for kind in KINDS]
    assert found["mean_kld"].value == pytest.approx(0.2)
    assert found["mean_kld"].uncertainty == pytest.approx(0.1 / math.sqrt(199))
    assert found["median_kld"].value == pytest.approx(0.2)
    assert found["max_kld"] == (pytest.approx(0.3), None)
    assert found["mean_ppl_base"].value == pytest.approx(math.sqrt(2))
    assert found["mean_ppl_q"].value == pytest.approx(2 * math.sqrt(2))
    assert found["mean_dp"].value == pytest.approx(-37.5)  # 1 -> 0.5 and 0.5 -> 0.25, in percent
    assert found["rms_dp"].value == pytest.approx(100 * math.sqrt((0.25 + 0.0625) / 2))
    assert found["same_top_p"].value == pytest.approx(75)
    assert found["same_top_p"].uncertainty == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 199))


def test_equal_positions_have_no_spread_and_no_change():
    same = np.full(200, 0.5)
    found = figures(same, same, np.zeros(200), np.ones(200, bool))
    assert found["rms_dp"] == (0, 0)
    assert found["mean_kld"] == (0, 0)
    assert found["same_top_p"] == (100, 0)


def test_an_id_that_a_model_never_gives_is_an_infinity_and_no_crash():
    nll = np.full(200, 1.0)
    nll[3] = np.inf
    found = figures(np.full(200, 1.0), nll, nll, np.ones(200, bool))
    assert found["mean_kld"].value == math.inf
    assert found["mean_ppl_q"].value == math.inf
    assert found["median_kld"].value == 1


@given(NATS)
def test_mean_and_error_are_those_of_the_tool(values):
    exact = values.astype(np.float64)
    middle, square = float(np.sum(exact)) / len(exact), float(np.sum(exact**2)) / len(exact)
    spread = square - middle**2
    error = math.sqrt(spread / (len(exact) - 1)) if spread > 0 else 0.0
    found = mean(values)
    assert found.value == pytest.approx(middle)
    assert found.uncertainty == pytest.approx(error, abs=1e-6)


@given(NATS, st.floats(0, 100))
def test_percentile_is_the_tools_straight_line(values, percent):
    ordered = np.sort(values).astype(np.float64)
    place = percent / 100 * (len(values) - 1)
    low = int(place)
    wanted = (1 - (place - low)) * ordered[low] + (place - low) * ordered[min(low + 1, len(values) - 1)]
    assert percentile(values, percent) == pytest.approx(wanted)
