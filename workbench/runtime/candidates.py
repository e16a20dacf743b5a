"""What a sampler left of the candidates, as figures: v ids of the vocabulary, c candidates of them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from workbench.runtime.scoring import Array

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama.h: llama_token_data
BEST = 10  # candidates kept of each stage's output
STRIPES = 1024  # whose maxima bound the best from below, so that few have to be sorted
EXACT = 4096  # up to so many candidates the sum is made in float64; beyond, float32 is four times as fast
TINY = float(np.finfo(np.float64).tiny)  # the probability of a candidate that is left, where it would round to 0


class Distribution:
    """Candidates, `ids` and `logits` (c,) in llama.cpp's order; one with a logit of -inf is none any more.

    `sound` says whether all the others are numbers: with a NaN or an infinity no probability is known.
    """

    def __init__(self, ids: Array, logits: Array, n_vocab: int) -> None:
        self.ids, self.logits = ids.copy(), logits.copy()  # the next sampler works in the same memory
        self._n_vocab = n_vocab
        self._in_order = len(ids) == n_vocab and bool((self.ids == np.arange(n_vocab, dtype=np.int32)).all())
        self._peak = self.logits.max(initial=-np.inf)
        self.sound = bool(self._peak < np.inf)  # NaN is not
        self.n_left = int(np.count_nonzero(self.logits > -np.inf))
        exact: Array = self.logits.astype(np.float64) if len(ids) <= EXACT else self.logits
        weights = np.exp(exact - self._peak) if self.n_left and self.sound else np.zeros(0)
        self._total = float(weights.sum(dtype=np.float64))

    def best(self, count: int) -> Array:
        """The ids of the `count` likeliest, best first, equal ones by lower id: (<= count,)."""
        near = self._near(count)
        order = near[np.lexsort((self.ids[near], -self.logits[near]))][:count]
        found: Array = self.ids[order]
        return found

    def of(self, wanted: Array) -> Array:
        """The probability of each id in `wanted` (w,), 0 for what is no candidate: (w,) float64."""
        logits = self._logits_of(wanted)
        with np.errstate(invalid="ignore"):
            probs = np.exp(logits.astype(np.float64) - self._peak) / self._total
        found: Array = np.where(logits > -np.inf, np.maximum(probs, TINY), 0.0)
        return found

    def kept_by(self, later: Distribution) -> float:
        """The share of the probability here that belongs to the candidates which a later sampler left."""
        if later.n_left == self.n_left:
            return 1.0
        return min(1.0, float(self.of(later.ids[later.logits > -np.inf]).sum()))

    def _near(self, count: int) -> Array:
        """Where some candidates stand, the `count` likeliest among them."""
        if len(self.logits) <= STRIPES * 2:
            return np.flatnonzero(self.logits > -np.inf)
        whole = len(self.logits) // STRIPES * STRIPES
        maxima = self.logits[:whole].reshape(-1, STRIPES).max(axis=0)  # (STRIPES,)
        bound = np.partition(maxima, -count)[-count]
        near: Array = np.flatnonzero((self.logits >= bound) & (self.logits > -np.inf))
        return near

    def _logits_of(self, wanted: Array) -> Array:
        if self._in_order:
            return self.logits[wanted]
        dense = np.full(self._n_vocab, -np.inf, np.float32)
        dense[self.ids] = self.logits
        found: Array = dense[wanted]
        return found


def view(array: Any) -> Array:
    """llama.cpp's candidates where the samplers left them (c,); a sampler may move them to memory of its own."""
    place = ctypes.cast(array.data, ctypes.POINTER(ctypes.c_char * (array.size * CANDIDATE.itemsize)))
    candidates: Array = np.frombuffer(place.contents, CANDIDATE)
    return candidates
