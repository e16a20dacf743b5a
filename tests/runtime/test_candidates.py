"""Figures of a sampler's candidates: the best, their probabilities, what was kept; held against the plain way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.runtime.candidates import CANDIDATE, TINY, Distribution


def made(seed, count, v, hidden):
    """`count` of `v` ids in any order, some of them with -inf, with ties."""
    dice = np.random.default_rng(seed)
    ids = np.arange(v, dtype=np.int32) if count == v else dice.permutation(v)[:count].astype(np.int32)
    logits = np.round(dice.normal(0, 3, count), 1).astype(np.float32)
    logits[dice.random(count) < hidden] = -np.inf
    return ids, logits, Distribution(ids, logits, v)


@given(
    st.integers(0, 10**6),
    st.sampled_from([(1, 1), (5, 9), (40, 3000), (3000, 3000), (2500, 5000), (9001, 9001)]),
    st.sampled_from([0.0, 0.3, 0.999]),
    st.integers(1, 12),
)
def test_the_best_and_their_probabilities(seed, size, hidden, count):
    ids, logits, found = made(seed, size[0], size[1], hidden)
    left = logits > -np.inf
    assert found.n_left == left.sum()
    order = [int(i) for i in ids[np.lexsort((ids, -logits))] if logits[ids == i][0] > -np.inf][:count]
    assert found.best(count).tolist() == order
    if found.n_left:
        weights = np.exp(logits.astype(np.float64) - logits.max())
        plain = dict(zip(ids.tolist(), (weights / weights.sum()).tolist(), strict=True))
        wanted = [*order, size[1] - 1]
        assert found.of(np.array(wanted)).tolist() == pytest.approx([plain.get(i, 0.0) for i in wanted], rel=1e-5)


@given(st.integers(0, 10**6))
def test_what_is_kept(seed):
    ids, logits, before = made(seed, 400, 400, 0.2)
    keep = logits > np.median(logits[logits > -np.inf])
    after = Distribution(ids[keep], logits[keep], 400)
    assert before.kept_by(after) == pytest.approx(float(before.of(ids[keep]).sum()))
    assert before.kept_by(before) == 1.0
    ratios = after.of(ids[keep]) / before.of(ids[keep])
    assert ratios == pytest.approx(1 / before.kept_by(after), rel=1e-6)  # removing others changes nothing else


def test_a_candidate_that_is_left_is_never_zero():
    found = Distribution(np.array([0, 1, 2]), np.array([0, -5000, -np.inf], np.float32), 4)
    assert found.of(np.array([0, 1, 2, 3])).tolist() == [1.0, TINY, 0.0, 0.0]


def test_nothing_left():
    found = Distribution(np.array([0, 1]), np.array([-np.inf, -np.inf], np.float32), 2)
    assert (found.n_left, found.best(3).tolist()) == (0, [])


def test_the_next_sampler_does_not_change_it():
    memory = np.array([(7, 1.5, 0)], CANDIDATE)
    found = Distribution(memory["id"], memory["logit"], 9)
    memory["id"], memory["logit"] = 3, -4
    assert (found.best(1).tolist(), found.of(np.array([7])).tolist()) == ([7], [1.0])
