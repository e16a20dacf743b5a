"""Scores held against llama.cpp's raw logits, and against each other: chunk sizes, reuse, errors."""

import numpy as np
import pytest

from tests.gguf import tiny
from workbench.errors import BadRequest, CannotRun
from workbench.runtime.scoring import Rows, Scorer

TEXT = (
    "<|im_start|>user\nWrite a function that adds two numbers, and say what 17 × 3 is.<|im_end|>\n"
    "<|im_start|>assistant\ndef add(a, b):\n    return a + b\n\n17 × 3 is 51.<|im_end|>\n"
)
# Largest difference in nats seen on this model between batch shapes, with room: the floor of "equal".
FLOOR = 5e-2


def expected(row, target):
    """Log-probability, rank, entropy and top ids of one row of logits, in double precision."""
    x = row.astype(np.float64)
    logsumexp = x.max() + np.log(np.exp(x - x.max()).sum())
    p = np.exp(x - logsumexp)
    order = np.lexsort((np.arange(len(x)), -x))
    rank = 1 + int((x > x[target]).sum())
    return x[target] - logsumexp, rank, -(p * (x - logsumexp)).sum(), order[:20], x[order[0]] - x[order[1]], logsumexp


@pytest.mark.model
def test_scores_are_those_of_the_raw_logits(toolsmith):
    scores_are_those_of_the_raw_logits(toolsmith)


@pytest.mark.model
def test_scores_are_those_of_the_raw_logits_of_a_large_vocabulary(demo):
    scores_are_those_of_the_raw_logits(demo)


def scores_are_those_of_the_raw_logits(host):
    ids = host.tokenize(TEXT).ids
    n = len(ids)
    scores = host.score(ids, logits_at=range(n))
    assert len(scores) == n == len(scores.logits)
    for i, row in scores.logits[:-1]:
        logprob, rank, entropy, top, margin, logsumexp = expected(row, ids[i + 1])
        assert scores.logprob[i] == pytest.approx(logprob, abs=1e-4)
        assert scores.rank[i] == rank
        assert scores.top_ids[i].tolist() == top.tolist()
        assert scores.entropy[i] == pytest.approx(entropy, abs=1e-3)
        assert scores.margin[i] == pytest.approx(margin, abs=1e-4)
        assert scores.logsumexp[i] == pytest.approx(logsumexp, abs=1e-4)
        assert np.allclose(scores.top_logprobs[i], row[top] - logsumexp, atol=1e-4)
    assert np.isnan(scores.logprob[-1])
    assert scores.rank[-1] == 0


def close(a, b, rows=slice(None)):
    """Two scorings agree within the floor, where a token's place was not a near tie."""
    assert np.allclose(a.logprob[rows], b.logprob[rows], atol=FLOOR, equal_nan=True)
    assert np.allclose(a.entropy[rows], b.entropy[rows], atol=FLOOR)
    clear = (a.margin[rows] > FLOOR) & (b.margin[rows] > FLOOR)
    assert (a.top_ids[rows][clear, 0] == b.top_ids[rows][clear, 0]).all()


@pytest.mark.model
def test_scores_do_not_depend_on_the_chunk_size(demo_model, make_host):
    base, ids = None, None
    for n_batch, n_ubatch in ((512, 512), (32, 32), (64, 7), (1, 1)):
        host = make_host(demo_model, runtime={"n_batch": n_batch, "n_ubatch": n_ubatch})
        ids = host.tokenize(TEXT).ids if ids is None else ids
        scores = host.score(ids)
        assert host.evaluated == len(ids)
        base = base or scores
        close(base, scores)
        host.close()


@pytest.mark.model
def test_only_what_is_behind_the_first_changed_token_is_evaluated(demo):
    ids = demo.tokenize(TEXT).ids.tolist()
    demo.score([0])
    whole = demo.score(ids)
    assert demo.score(ids) == whole
    assert demo.evaluated == 0
    changed = ids.copy()
    changed[30] = 260
    reused = demo.score(changed)
    assert demo.evaluated == len(ids) - 29  # the last common token again: its row's target is another one
    demo.score([0])
    close(demo.score(changed), reused)
    assert demo.evaluated == len(ids)
    demo.score(ids)
    longer = demo.score([*ids, 28, 29])
    assert demo.evaluated == 3
    assert longer.rank[len(ids) - 1] > 0
    shorter = demo.score(ids[:10])
    assert demo.evaluated == 0
    assert np.isnan(shorter.logprob[-1])
    assert np.allclose(shorter.logprob[:9], whole.logprob[:9], atol=FLOOR)
    demo.score(ids[:10], top_k=40)
    assert demo.evaluated == 10  # more candidates than were kept


def test_asked_for_logits_are_whole_rows(tiny_host):
    ids = tiny_host.tokenize("the tin the tin").ids
    plain = tiny_host.score(ids)
    assert plain.logits == ()
    scores = tiny_host.score(ids, logits_at=[2, 0, 2])
    assert [i for i, _ in scores.logits] == [0, 2]
    assert scores.logits[0][1].shape == (267,)
    assert int(scores.logits[1][1].argmax()) == scores.top_ids[2, 0]
    with pytest.raises(BadRequest, match="positions from 0 to"):
        tiny_host.score(ids, logits_at=[len(ids)])


def test_more_candidates_than_ids(tiny_host):
    scores = tiny_host.score([5, 6, 7], top_k=10_000)
    assert scores.top_ids.shape == (3, 267)
    assert np.exp(scores.top_logprobs.astype(float)).sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert tiny_host.score([5, 6, 7], top_k=1).top_ids.shape == (3, 1)
    with pytest.raises(BadRequest, match="top_k is 0"):
        tiny_host.score([5], top_k=0)


def test_a_prompt_longer_than_the_context_says_by_how_much(make_host, tiny_model):
    host = make_host(tiny_model, runtime={"n_ctx": 256})
    with pytest.raises(CannotRun, match="has 300 tokens, 44 more than the context of 256"):
        host.score([5] * 300)
    assert len(host.score([5] * 256)) == 256


def test_prompts_that_cannot_be_scored(tiny_host):
    with pytest.raises(CannotRun, match="no tokens"):
        tiny_host.score([])
    with pytest.raises(CannotRun, match="accepted are 0 to 266"):
        tiny_host.score([5, 267])
    with pytest.raises(CannotRun, match="not in this vocabulary"):
        tiny_host.score([-1])


@pytest.mark.parametrize(
    ("kind", "architecture", "words"),
    [("bpe", "llama", "holds a vocabulary and no weights"), ("wpm", "bert", "holds a vocabulary and no weights")],
)
def test_a_vocabulary_alone_is_not_scored(make_host, tmp_path, kind, architecture, words):
    host = make_host(tiny.vocabulary_file(tmp_path / "v.gguf", kind, architecture=architecture))
    assert len(host.tokenize("the hello"))
    with pytest.raises(CannotRun, match=words):
        host.score([5, 6])


@pytest.mark.parametrize(
    ("architecture", "words"), [("bert", "is an embedding model"), ("t5", "is an encoder-decoder")]
)
def test_models_without_a_next_token_are_not_scored(make_host, tmp_path, architecture, words):
    host = make_host(tiny.model_file(tmp_path / "m.gguf", architecture=architecture))
    with pytest.raises(CannotRun, match=words):
        host.score([5, 6])


# The arithmetic alone


@pytest.mark.parametrize("n_vocab", [1, 2, 7, 63, 64, 65, 1000, 4099])
@pytest.mark.parametrize("ties", [False, True])
def test_arithmetic_on_any_vocabulary_size(n_vocab, ties):
    rng = np.random.default_rng(n_vocab)
    logits = rng.standard_normal((9, n_vocab)).astype(np.float32) * 4
    logits = np.round(logits) if ties else logits
    logits[3, : n_vocab // 2] = -np.inf
    targets = rng.integers(0, n_vocab, 9)
    targets[-1] = -1
    scorer = Scorer(n_vocab, 20)
    rows = Rows(12, scorer.top_k)
    scorer.score(logits, targets, rows, 2)
    with np.errstate(invalid="ignore"):
        for i in range(8):
            x = logits[i].astype(np.float64)
            logsumexp = np.log(np.exp(x - x.max()).sum()) + x.max()
            p = np.exp(x - logsumexp)
            entropy = -np.nansum(p * (x - logsumexp))
            assert rows.logsumexp[i + 2] == pytest.approx(logsumexp, abs=1e-4)
            assert rows.entropy[i + 2] == pytest.approx(entropy, abs=1e-3)
            assert rows.rank[i + 2] == 1 + (x > x[targets[i]]).sum()
            order = np.lexsort((np.arange(n_vocab), -x))[: scorer.top_k]
            assert rows.top_ids[i + 2].tolist() == order.tolist()
    assert rows.rank[10] == 0
    assert np.isnan(rows.logprob[10])


def test_logits_are_left_as_they_are():
    logits = np.random.default_rng(0).standard_normal((5, 500)).astype(np.float32)
    before = logits.copy()
    Scorer(500, 20).score(logits, np.zeros(5, int), Rows(5, 20), 0)
    assert (logits == before).all()
