"""The comparison of rows of logits against the definition in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.runtime.kld import Comparer, Figures

N_VOCAB = 33
LOGITS = arrays(np.float32, (3, N_VOCAB), elements=st.floats(-30, 30, width=32))


def compare(base, *others, targets=None, n_threads=1):
    targets = np.zeros(len(base), np.int64) if targets is None else targets
    figures = Figures(len(base), len(others))
    comparer = Comparer(base.shape[1], n_threads=n_threads)
    comparer.compare(base, others, targets, figures, 0)
    comparer.close()
    return figures


def log_probabilities(logits):
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    return exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))


def divergence(base, other):
    p, q = log_probabilities(base), log_probabilities(other)
    with np.errstate(invalid="ignore"):
        return np.where(np.exp(p) > 0, np.exp(p) * (p - q), 0).sum(axis=1)


@given(LOGITS, LOGITS, st.integers(0, N_VOCAB - 1))
def test_it_is_the_definition(base, other, target):
    found = compare(base, other, targets=np.full(3, target))
    rows = np.arange(3)
    assert found.kld[0] == pytest.approx(divergence(base, other), abs=2e-5)
    assert found.nll_base == pytest.approx(-log_probabilities(base)[rows, target], abs=1e-5)
    assert found.nll[0] == pytest.approx(-log_probabilities(other)[rows, target], abs=1e-5)
    assert found.same_top[0].tolist() == (base.argmax(axis=1) == other.argmax(axis=1)).tolist()


@given(LOGITS)
def test_a_distribution_is_no_way_from_itself(base):
    found = compare(base, base + np.float32(3))  # a shift of all logits changes no probability
    assert np.abs(found.kld).max() < 1e-5
    assert compare(base, base).kld.tolist() == [[0, 0, 0]]


def test_more_rows_than_a_block_on_two_threads_and_several_models():
    rng = np.random.default_rng(1)
    base = rng.standard_normal((700, 1024)).astype(np.float32) * 3
    others = [base + rng.standard_normal(base.shape).astype(np.float32) * size for size in (0.01, 0.5)]
    targets = rng.integers(0, 1024, 700)
    found = compare(base, *others, targets=targets, n_threads=2)
    for i, other in enumerate(others):
        assert found.kld[i] == pytest.approx(divergence(base, other), abs=1e-6)
        assert found.nll[i] == pytest.approx(-log_probabilities(other)[np.arange(700), targets], abs=1e-5)
    assert found.kld[0].mean() < found.kld[1].mean() / 100


def test_ids_that_a_model_never_gives():
    base = np.zeros((2, N_VOCAB), np.float32)
    base[:, 5:] = -np.inf
    other = base.copy()
    other[0, 7] = 0.0  # only the other gives it: the base adds nothing there
    other[1, 3] = -np.inf  # only the base gives it: no way back
    found = compare(base, other)
    assert found.kld[0, 0] == pytest.approx(np.log(6 / 5), abs=1e-6)
    assert found.kld[0, 1] == np.inf


def test_of_two_equal_first_places_the_lower_id_counts():
    base, other = np.zeros((1, N_VOCAB), np.float32), np.zeros((1, N_VOCAB), np.float32)
    base[0, [4, 9]] = 1
    other[0, 4] = 1
    assert compare(base, other).same_top.tolist() == [[True]]
    other[0, 9] = 2
    assert compare(base, other).same_top.tolist() == [[False]]
