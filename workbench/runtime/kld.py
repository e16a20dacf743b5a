"""How far models' distributions are from a base's on the same tokens: one chunk at a time, all models in one process.

Each model decodes the chunk; its logits stay where llama.cpp wrote them, and blocks of some rows are compared in
buffers that are used again. Nothing is written to the disk and nothing but figures leaves the process.
Shapes: r rows (positions) in a block, v ids, c other models.

Behaviour: which positions count, and what is computed of each, follows `llama-perplexity --kl-divergence`:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/perplexity/perplexity.cpp#L191
It keeps the base's log-probabilities in 16 bits and leaves out ids that the base gives less than e^-16; here they
are float32 and every id counts. So the perplexity of the base is the one that its first pass prints; its second pass
caps what a token can surprise.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.errors import Cancelled, CannotRun
from workbench.runtime.memory import available, size
from workbench.runtime.placement import Layout
from workbench.runtime.session import Session, no_numbers

if TYPE_CHECKING:
    from workbench.runtime.operations import Answer, Request

Array = npt.NDArray[Any]
LOGITS_BYTES = 128 << 20  # of one model's logits that are kept at once
BLOCK_VALUES = 1 << 18  # logits worked on at once: 1 MiB of float32, so that the passes stay in the cache
MAX_THREADS = 8  # each has 4 MiB of working memory


class Figures:
    """What is known of n positions: `nll_base` (n,), and of c other models `nll`, `kld` (nats), `same_top` (c, n)."""

    def __init__(self, n: int, others: int) -> None:
        self.nll_base = np.zeros(n, np.float32)
        self.nll = np.zeros((others, n), np.float32)
        self.kld = np.zeros((others, n), np.float32)
        self.same_top = np.zeros((others, n), bool)

    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return dict(vars(self))


class Comparer:
    """Compares rows of logits of one vocabulary size on `n_threads` threads (numpy lets go of the interpreter)."""

    def __init__(self, n_vocab: int, *, n_threads: int = 1) -> None:
        self.block = max(1, BLOCK_VALUES // n_vocab)
        self._pool = ThreadPoolExecutor(min(n_threads, MAX_THREADS))
        self._shape = (4, self.block, n_vocab)
        self._local = threading.local()

    def compare(self, base: Array, others: Sequence[Array], targets: Array, figures: Figures, at: int) -> None:
        """Fill [at, at + n) from logits (n, v) float32 of each model; `targets` (n,) are the ids that follow."""

        def one(start: int) -> None:
            rows = slice(start, min(start + self.block, len(base)))
            to = slice(at + rows.start, at + rows.stop)
            self._block(base[rows], [other[rows] for other in others], targets[rows], figures, to)

        list(self._pool.map(one, range(0, len(base), self.block)))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    @np.errstate(invalid="ignore")  # -inf less -inf, where an id is never given
    def _block(self, base: Array, others: list[Array], targets: Array, figures: Figures, to: slice) -> None:
        if not hasattr(self._local, "buffers"):
            self._local.buffers = np.empty(self._shape, np.float32)
        shifted, weights, work, exp = self._local.buffers[:, : len(base)]  # each (r, v)
        row = np.arange(len(base))
        top = _shift(base, shifted)
        np.exp(shifted, out=weights)
        total = weights.sum(axis=1)  # (r,), at least 1
        log_total = np.log(total.astype(np.float64))
        figures.nll_base[to] = log_total - shifted[row, targets]
        for i, other in enumerate(others):
            figures.same_top[i, to] = _shift(other, work) == top
            target = work[row, targets]
            np.exp(work, out=exp)
            log_other = np.log(exp.sum(axis=1).astype(np.float64))
            np.subtract(shifted, work, out=work)  # what the base gives more, in nats, but for the two sums
            np.multiply(weights, work, out=exp)
            excess = exp.sum(axis=1) / total
            if not np.isfinite(excess).all():  # a logit of -inf: an id that the base never gives adds nothing
                excess = np.where(weights > 0, exp, 0).sum(axis=1) / total
            figures.nll[i, to] = log_other - target
            figures.kld[i, to] = excess + log_other - log_total


def _shift(logits: Array, out: Array) -> Array:
    """Write logits less their maximum to `out` (r, v); the maximum's id (r,), the lower one of equals."""
    top: Array = logits.argmax(axis=1)
    np.subtract(logits, logits[np.arange(len(logits)), top][:, None], out=out)
    return top


def divergence(session: Session, request: Request) -> Answer:
    """One chunk through the session's model and every other: `ids` (n,), figures of positions `first` to n - 2."""
    from workbench.runtime.operations import Answer

    ids, first = request.arguments["ids"], request.arguments["first"]
    models = _open(session, request)
    n_vocab = session.vocabulary.n_vocab if session.vocabulary else 0
    chunks = [_with_bos(model, ids) for model in models]
    for model in models:
        model.keep_prefix(ids, 0)
    figures, n = Figures(len(ids) - 1 - first, len(models) - 1), len(ids) - 1
    comparer = Comparer(n_vocab, n_threads=request.runtime["n_threads"])
    step = max(1, LOGITS_BYTES // (4 * n_vocab))
    try:
        for at in range(0, n, step):
            stop = min(at + step, n)
            skip, rows = min(max(first - at, 0), stop - at), []
            for i, (model, chunk) in enumerate(zip(models, chunks, strict=True)):
                rows.append(_logits(model, chunk[at:stop], skip))
                if session.stop:
                    raise Cancelled("the comparison was stopped")
                request.report("comparing", len(models) * at + (i + 1) * (stop - at), len(models) * n)
            if skip < stop - at:
                targets = np.array(ids[at + skip + 1 : stop + 1])
                comparer.compare(rows[0], rows[1:], targets, figures, at + skip - first)
    finally:
        comparer.close()
    _require_numbers(figures, first)
    return Answer({}, figures.arrays())


def _require_numbers(figures: Figures, first: int) -> None:
    """Errors: `CannotRun` where a model's logits were none; its sum over all ids is NaN there."""
    bad = np.isnan([figures.nll_base, *figures.nll]).any(axis=0)
    if bad.any():
        raise no_numbers(first + int(bad.argmax()))


def _logits(model: Session, ids: list[int], skip: int) -> Array:
    """Evaluate `ids` in the model's own batches; the rows behind the first `skip` ids, (n - skip, v)."""
    batch, n_vocab = (
        int(model.library.llama_n_batch(model.context)),
        model.vocabulary.n_vocab if model.vocabulary else 0,
    )
    if len(ids) <= batch:
        model.decode(ids, all_logits=skip < len(ids), skip=skip)
        return model.unchecked_logits(len(ids) - skip) if skip < len(ids) else np.empty((0, n_vocab), np.float32)
    rows = np.empty((len(ids) - skip, n_vocab), np.float32)  # llama.cpp keeps those of the last batch alone
    for at in range(0, len(ids), batch):
        stop = min(at + batch, len(ids))
        silent = min(max(skip - at, 0), stop - at)
        model.decode(ids[at:stop], all_logits=silent < stop - at, skip=silent)
        if silent < stop - at:
            rows[at + silent - skip : stop - skip] = model.unchecked_logits(stop - at - silent)
    return rows


def _with_bos(model: Session, ids: list[int]) -> list[int]:
    """The ids with BOS in place of the first, where the model's vocabulary asks for BOS.

    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/perplexity/perplexity.cpp#L566
    """
    vocabulary = model.library.llama_model_get_vocab(model.model)
    if not model.library.llama_vocab_get_add_bos(vocabulary):
        return ids
    return [int(model.library.llama_vocab_bos(vocabulary)), *ids[1:]]


def _open(session: Session, request: Request) -> list[Session]:
    """The session's model and the others, loaded where they are not there yet. Errors: those of loading."""
    order = request.arguments["others"]
    for extra in session.others[len(order) :]:
        extra.close()
    del session.others[len(order) :]
    if not session.has_weights:
        _require_room_for_all(request)
    session.open_weights(request.path, request.runtime, request.overrides, Layout(**request.need), request.report)
    for i, other in enumerate(order):
        if i == len(session.others):
            session.others.append(Session())
            for one in (session, *session.others):
                one.log, one.stop = session.others[-1].log, session.stop  # llama.cpp writes to the newest log alone
        model = session.others[i]
        if model.identity != other["identity"]:
            model.close()
        need = Layout(**other["need"])
        model.open_weights(other["path"], other["runtime"], other["overrides"], need, request.report)
        model.identity = other["identity"]
    models = [session, *session.others]
    sizes = [model.vocabulary.n_vocab if model.vocabulary else 0 for model in models]
    if len(set(sizes)) > 1:
        raise CannotRun(f"the models have vocabularies of {', '.join(map(str, sizes))} tokens", "accepted is one size")
    return models


def _require_room_for_all(request: Request) -> None:
    """Errors: `CannotRun` where the models do not fit beside each other; those on other devices are not counted."""
    orders = [{"path": request.path, "runtime": request.runtime, "need": request.need}, *request.arguments["others"]]
    here = [order for order in orders if order["runtime"]["n_gpu_layers"] == 0]
    parts = [Layout(**order["need"]) for order in here]
    total = sum(part.input + sum(part.layers) + part.output + sum(part.cache) for part in parts)
    free = available()
    if free is not None and total > free:
        raise CannotRun(
            f"{', '.join(order['path'] for order in here)} do not fit in memory together: they need {size(total)}, "
            f"and {size(free)} are available",
            "models that are compared are loaded at the same time",
            "compare fewer at once, or free memory",
        )
