"""From rows of logits to what a Scores value holds, without ever holding positions x vocabulary.

A block of some rows is worked on at a time, in buffers that are used again, so the memory needed does
not depend on the prompt's length. Shapes: r rows in a block, v ids, k candidates.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BLOCK_VALUES = 1 << 19  # logits worked on at once: 2 MiB of float32, so that the passes stay in the cache
STRIPE = 64  # ids that share one maximum in the search for candidates
MAX_THREADS = 8  # each has 4 MiB of working memory
TINY = np.float32(-1e30)


class Rows:
    """What is known of n positions; the arrays of `stages.Scores`, filled row by row."""

    def __init__(self, n: int, k: int) -> None:
        self.logprob = np.full(n, np.nan, np.float32)
        self.rank = np.zeros(n, np.int32)
        self.entropy = np.zeros(n, np.float32)
        self.logsumexp = np.zeros(n, np.float32)
        self.margin = np.zeros(n, np.float32)
        self.top_ids = np.zeros((n, k), np.int32)
        self.top_logprobs = np.zeros((n, k), np.float32)

    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return dict(vars(self))

    def take(self, other: Rows, n: int) -> None:
        """Copy the first `n` rows of `other`; its k is at least this k."""
        k = self.top_ids.shape[1]
        for name, array in self.arrays().items():
            source = getattr(other, name)[:n]
            array[:n] = source[:, :k] if source.ndim == 2 else source


class Buffers(threading.local):
    """Working memory of one thread, used again for every block."""

    def __init__(self, block: int, n_vocab: int) -> None:
        self.shifted = np.empty((block, n_vocab), np.float32)
        self.exp = np.empty((block, n_vocab), np.float32)
        self.above = np.empty((block, n_vocab), bool)


class Scorer:
    """Scores blocks of logits of one vocabulary size on `n_threads` threads (numpy lets go of the interpreter)."""

    def __init__(self, n_vocab: int, top_k: int, *, n_threads: int = 1) -> None:
        self.n_vocab = n_vocab
        self._pool = ThreadPoolExecutor(min(n_threads, MAX_THREADS)) if n_threads > 1 else None
        self.top_k = max(1, min(top_k, n_vocab))
        self.block = max(1, BLOCK_VALUES // n_vocab)
        self._buffers = Buffers(self.block, n_vocab)
        # One stripe is the ids {j, j + width, j + 2 width, ...}: maxima over stripes are plain row operations.
        self._width = max(1, n_vocab // STRIPE)

    def score(self, logits: Array, targets: Array, rows: Rows, at: int) -> None:
        """Fill rows [at, at + r) from `logits` (r, v) float32; `targets` (r,) is the id that follows, -1 for none."""

        def one(start: int) -> None:
            stop = min(start + self.block, len(logits))
            self._score_block(logits[start:stop], targets[start:stop], rows, slice(at + start, at + stop))

        starts = range(0, len(logits), self.block)
        if self._pool is None or len(starts) == 1:
            for start in starts:
                one(start)
            return
        list(self._pool.map(one, starts))

    def _score_block(self, x: Array, targets: Array, rows: Rows, to: slice) -> None:
        r = len(x)
        stripes = self._stripe_maxima(x)  # (r, width + 1)
        peak = stripes.max(axis=1)  # (r,)
        shifted, exp = self._buffers.shifted[:r], self._buffers.exp[:r]
        np.subtract(x, peak[:, None], out=shifted)
        np.exp(shifted, out=exp)
        total = exp.sum(axis=1)  # (r,), at least 1
        log_total = np.log(total)
        weighted = np.einsum("ij,ij->i", exp, shifted)  # (r,)
        if not np.isfinite(weighted).all():  # a logit of -inf: 0 x -inf is not 0 to the processor
            weighted = np.einsum("ij,ij->i", exp, np.maximum(shifted, TINY))
        rows.logsumexp[to] = peak + log_total
        rows.entropy[to] = np.maximum(log_total - weighted / total, 0)
        self._score_targets(x, targets, rows, to)
        ids, values = self._candidates(x, stripes)
        rows.top_ids[to] = ids
        logprobs = values - rows.logsumexp[to][:, None]
        rows.top_logprobs[to] = logprobs
        rows.margin[to] = values[:, 0] - values[:, 1] if values.shape[1] > 1 else self._second_margin(x, values)

    def _score_targets(self, x: Array, targets: Array, rows: Rows, to: slice) -> None:
        known = targets >= 0
        wanted = x[np.arange(len(x)), np.where(known, targets, 0)]  # (r,)
        above = self._buffers.above[: len(x)]
        np.greater(x, wanted[:, None], out=above)
        rank = 1 + np.count_nonzero(above, axis=1)
        rows.rank[to] = np.where(known, rank, 0)
        rows.logprob[to] = np.where(known, wanted - rows.logsumexp[to], np.nan)

    def _stripe_maxima(self, x: Array) -> Array:
        """The greatest logit of each stripe; the ids behind the last full stripe are one more stripe. (r, width + 1)"""
        full = self._width * (self.n_vocab // self._width)
        maxima = np.full((len(x), self._width + 1), -np.inf, np.float32)
        x[:, :full].reshape(len(x), -1, self._width).max(axis=1, out=maxima[:, :-1])
        if full < self.n_vocab:
            x[:, full:].max(axis=1, out=maxima[:, -1])
        return maxima

    def _candidates(self, x: Array, stripes: Array) -> tuple[Array, Array]:
        """The k greatest logits of each row, greatest first, equal ones by lower id: ids (r, k), values (r, k)."""
        r, k = len(x), self.top_k
        ids, values = np.empty((r, k), np.int32), np.empty((r, k), np.float32)
        # k stripes have a maximum at least as great as the k-th greatest of the maxima: the k-th logit is no less.
        floor = (
            np.partition(stripes, stripes.shape[1] - k, axis=1)[:, stripes.shape[1] - k]
            if stripes.shape[1] >= k
            else np.full(r, -np.inf, np.float32)
        )
        for i in range(r):
            found = self._row_candidates(x[i], stripes[i], floor[i])
            ids[i], values[i] = found, x[i, found]
        return ids, values

    def _row_candidates(self, row: Array, maxima: Array, floor: Any) -> Array:
        full = self._width * (self.n_vocab // self._width)
        hit = np.flatnonzero(maxima[:-1] >= floor)
        near = (hit[None, :] + np.arange(0, full, self._width)[:, None]).ravel()
        if full < self.n_vocab:
            near = np.concatenate([near, np.arange(full, self.n_vocab)])
        logits = row[near]
        keep = logits >= floor
        near, logits = near[keep], logits[keep]
        order = np.lexsort((near, -logits))[: self.top_k]
        found: Array = near[order]
        return found

    def _second_margin(self, x: Array, values: Array) -> Array:
        second: Array = np.partition(x, -2, axis=1)[:, -2] if self.n_vocab > 1 else values[:, 0]
        return values[:, 0] - second
