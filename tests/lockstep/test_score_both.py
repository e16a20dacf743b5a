"""Divergence by position held against the full logits of both setups; stretches, batches, errors."""

import dataclasses

import numpy as np
import pytest

from tests.gguf import tiny
from tests.lockstep.conftest import REQUEST
from workbench import lockstep
from workbench.errors import BadRequest, Cancelled, CannotRun
from workbench.lockstep import score_both
from workbench.progress import Cancel
from workbench.setup import Setup

pytestmark = pytest.mark.model


def exact_kl(a, b):
    """KL(a || b) in nats of two rows of logits, in double precision and by the book."""
    p, q = (x.astype(np.float64) - np.logaddexp.reduce(x.astype(np.float64)) for x in (a, b))
    return float((np.exp(p) * (p - q)).sum())


def full_logits(host, setup, ids):
    host.use(setup)
    scores = host.score(ids, logits_at=range(len(ids)))
    return scores, [row for _, row in scores.logits]


def test_kl_is_that_of_the_full_logits(toolsmith, low, ids, low_hosts):
    pair = score_both(ids, toolsmith, low, hosts=low_hosts)
    (a, rows_a), (b, rows_b) = (full_logits(*side, ids) for side in zip(low_hosts, (toolsmith, low), strict=True))
    assert pair.kl == pytest.approx([exact_kl(x, y) for x, y in zip(rows_a, rows_b, strict=True)], rel=1e-5, abs=1e-9)
    assert pair.a == dataclasses.replace(a, logits=())
    assert pair.b == dataclasses.replace(b, logits=())
    assert pair.mean_kl > 0.01


def test_the_same_setup_twice_has_no_divergence_at_all(toolsmith, ids, hosts):
    pair = score_both(ids, toolsmith, toolsmith, hosts=hosts)
    assert not pair.kl.any()
    assert pair.flips == ()
    assert pair.same_top == 1
    assert pair.overlap.tolist() == [1.0] * len(ids)


@pytest.mark.parametrize("batches", [(7, 5), (1, 512), (64, 3)])
def test_each_setup_computes_in_its_own_batches(toolsmith, ids, batches, hosts):
    one, other = (toolsmith.replace(**{"runtime.n_ubatch": n}) for n in batches)
    pair = score_both(ids, one, other, hosts=hosts)
    assert len(pair) == len(ids)
    assert pair.a.logprob[:-1] == pytest.approx(full_logits(hosts[0], one, ids)[0].logprob[:-1], abs=1e-3)
    assert pair.mean_kl < 1e-3


def test_a_stretch_that_the_scratch_file_cannot_hold_is_cut_and_said(toolsmith, low, ids, monkeypatch, low_hosts):
    whole = score_both(ids, toolsmith, low, hosts=low_hosts)
    assert whole.notes == ()
    monkeypatch.setattr(lockstep, "SCRATCH_BYTES", 9 * 4 * 1024)
    cut = score_both(ids, toolsmith, low, hosts=low_hosts)
    assert cut.notes == ("computed 9 tokens at a time: a whole batch of 512 does not fit the scratch file",)
    assert cut.kl == pytest.approx(whole.kl, rel=0.05, abs=1e-2)
    assert np.isnan(cut.a.logprob).tolist() == [False] * (len(ids) - 1) + [True]


def test_nothing_as_wide_as_the_vocabulary_reaches_the_caller(toolsmith, ids, hosts):
    a, b = (lockstep.Side(host, toolsmith) for host in hosts)
    done = lockstep.run_both(a, b, ids, tensor="l_out")
    arrays = [*done.arrays.values(), *(getattr(done.a, name) for name in done.a.ARRAYS)]
    assert all(width <= max(len(ids), 20) for array in arrays for width in array.shape)


def test_a_request_says_whose_tokens_differ(toolsmith, low, low_hosts):
    pair = score_both(REQUEST, toolsmith, low, hosts=low_hosts)
    names = {group.name for group in pair.groups("message")}
    assert {"messages[0]", "messages[1]", "template", "answer"} <= names
    assert sum(group.n for group in pair.groups()) == len(pair)
    assert sum(group.flips for group in pair.groups()) == len(pair.flips)
    assert b"".join(pair.pieces).endswith(b"assistant\n")
    assert {flip.a for flip in pair.flips} <= dict(pair.names).keys()
    assert pair.changes.value()["model"] == [toolsmith.model, low.model]


def test_other_vocabularies_are_refused(toolsmith, ids, tmp_path, hosts):
    other = Setup(model=str(tiny.model_file(tmp_path / "tiny.gguf")))
    with pytest.raises(BadRequest, match=r"vocabularies have 1,024 and 267 tokens"):
        score_both(ids, toolsmith, other, hosts=hosts)
    with pytest.raises(BadRequest, match="names no model"):
        score_both(ids, toolsmith, Setup(), hosts=hosts)
    with pytest.raises(BadRequest, match="no tokens"):
        score_both([], toolsmith, toolsmith)


def test_a_full_disk_is_one_sentence(toolsmith, ids, hosts):
    full = {"ids": ids, "start": 0, "end": len(ids), "path": "/dev/full", "tensor": None, "top_k": 1, "against": False}
    hosts[0].use(toolsmith)
    with pytest.raises(CannotRun, match=r"cannot be written: .*the disk is full"):
        hosts[0].ask("stretch", full)


def test_a_cancel_stops_it(toolsmith, ids, hosts):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        score_both(ids, toolsmith, toolsmith, cancel=cancel, hosts=hosts)
