"""llama.cpp's own samplers, applied one after the other, so that each one's work can be seen."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from workbench.runtime.scoring import Array
from workbench.sampling.chain import Sampler, active, chain

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama.h: llama_token_data
BEST = 10  # candidates kept of each stage's output


class Stage(NamedTuple):
    """What one sampler left: see `stages.SamplerStage`."""

    name: str
    n_left: int
    n_removed: int
    top_ids: list[int]
    top_probs: list[float]


class Drawn(NamedTuple):
    """The id that the chain chose and what each sampler did."""

    id: int
    stages: list[Stage]


class SamplerChain:
    """The samplers of one generation with their state; `close` frees them."""

    def __init__(self, library: Any, sampling: dict[str, Any], *, n_ctx: int, n_vocab: int, banned: list[int]) -> None:
        self._library = library
        self._n_vocab = n_vocab
        self._banned = banned
        self.samplers = active(chain(sampling, n_ctx=n_ctx, suppressed=len(banned)))
        self._handles = [self._start(sampler) for sampler in self.samplers]
        self._candidates = np.empty(n_vocab, CANDIDATE)
        self._ids = np.arange(n_vocab, dtype=np.int32)

    def draw(self, logits: Array) -> Drawn:
        """Choose an id from a row of logits (v,)."""
        data = self._candidates
        data["id"], data["logit"], data["p"] = self._ids, logits, 0
        array = self._library.llama_token_data_array()
        array.data = ctypes.cast(data.ctypes.data, ctypes.POINTER(self._library.llama_token_data))
        array.size, array.selected, array.sorted = len(data), -1, False
        stages, left = [], len(data)
        for sampler, handle in zip(self.samplers, self._handles, strict=True):
            self._library.llama_sampler_apply(handle, ctypes.byref(array))
            stages.append(_stage(sampler.name, _view(array), left))
            left = stages[-1].n_left
        return Drawn(int(array.data[array.selected].id), stages)

    def accept(self, token: int) -> None:
        """Tell every sampler that this token is now part of the text."""
        for handle in self._handles:
            self._library.llama_sampler_accept(handle, token)

    def seed(self) -> int:
        """The seed that the drawing sampler really uses (a random one where 2**32 - 1 was asked for)."""
        return int(self._library.llama_sampler_get_seed(self._handles[-1]))

    def close(self) -> None:
        """Free the samplers."""
        for handle in self._handles:
            self._library.llama_sampler_free(handle)
        self._handles = []

    def _start(self, sampler: Sampler) -> Any:
        library, given = self._library, sampler.parameters
        match sampler.name:
            case "logit-bias":
                biases = (library.llama_logit_bias * len(self._banned))()
                for bias, token in zip(biases, self._banned, strict=True):
                    bias.token, bias.bias = token, -np.inf
                return library.llama_sampler_init_logit_bias(self._n_vocab, len(biases), biases)
            case "penalties":
                return self._penalties(given["last_n"], given["repeat"])
            case "top-k":
                return library.llama_sampler_init_top_k(given["k"])
            case "top-p":
                return library.llama_sampler_init_top_p(given["p"], 0)
            case "min-p":
                return library.llama_sampler_init_min_p(given["p"], 0)
            case "temperature":
                return library.llama_sampler_init_temp_ext(given["temperature"], 0.0, 1.0)
            case "dist":
                return library.llama_sampler_init_dist(given["seed"] % 2**32)  # -1: a random one
        raise NotImplementedError(sampler.name)

    def _penalties(self, last_n: int, repeat: float) -> Any:
        init = self._library.llama_sampler_init_penalties
        if len(init.argtypes) == 5:  # with the vocabulary's size in front, since llama-cpp-python 0.3.35
            return init(self._n_vocab, last_n, repeat, 0.0, 0.0)
        return init(last_n, repeat, 0.0, 0.0)


def _view(array: Any) -> Array:
    """The candidates where the samplers left them (c,); a sampler may move them to memory of its own."""
    place = ctypes.cast(array.data, ctypes.POINTER(ctypes.c_char * (array.size * CANDIDATE.itemsize)))
    view: Array = np.frombuffer(place.contents, CANDIDATE)
    return view


def _stage(name: str, candidates: Array, before: int) -> Stage:
    logits = candidates["logit"]
    peak = logits.max()
    weights = np.exp(logits - peak, dtype=np.float64)
    total = weights.sum()
    left = int(np.count_nonzero(logits > -np.inf))
    best = np.argpartition(-logits, BEST - 1)[:BEST] if len(logits) > BEST else np.arange(len(logits))
    best = best[np.lexsort((candidates["id"][best], -logits[best]))][:left]
    return Stage(
        name,
        left,
        before - left,
        candidates["id"][best].tolist(),
        (weights[best] / total).tolist(),
    )
