"""llama.cpp's own samplers, applied one after the other, so that each one's work can be seen."""

from __future__ import annotations

import ctypes
import os
from typing import Any, NamedTuple

import numpy as np

from workbench.errors import CannotRun
from workbench.runtime.candidates import BEST, CANDIDATE, Distribution, view
from workbench.runtime.draws import Draws
from workbench.runtime.grammar import start_grammar
from workbench.runtime.sampler_kinds import Place, start
from workbench.runtime.scoring import Array
from workbench.sampling.chain import active, chain, pythons

RANDOM_SEED = 2**32 - 1  # llama.h: LLAMA_DEFAULT_SEED


class Stage(NamedTuple):
    """What one sampler left: see `stages.SamplerStage`."""

    name: str
    n_left: int
    n_removed: int
    top_ids: list[int]
    top_probs: list[float]
    kept: float
    probs: list[float]
    draw: tuple[float | None, float, float] | None


class Drawn(NamedTuple):
    """The id that the chain chose, what each sampler did, and the candidates followed: see `stages.Step`."""

    id: int
    stages: list[Stage]
    watched: list[int]
    before: list[float]


class Applied(NamedTuple):
    """One pass through the chain: the id it chose, and by sampler what it left and what it drew."""

    id: int
    names: list[str]
    left: list[Distribution]
    draws: list[tuple[float | None, float, float] | None]


class SamplerChain:
    """The samplers of one generation with their state; `close` frees them. Errors: `BadRequest`, `CannotRun`.

    A grammar stands beside the chain: it looks at the id that the chain chose and, where it refuses it, the
    chain chooses again from what the grammar allows; in llama-cpp-python's chain it always comes first. Behaviour:
    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/sampling.cpp#L594
    """

    def __init__(self, place: Place, sampling: dict[str, Any], *, n_ctx: int) -> None:
        self._library, self._n_vocab = place.library, place.n_vocab
        self._seed = int(sampling["seed"]) % 2**32
        if self._seed == RANDOM_SEED:  # one for all samplers, so that it can be told; llama.cpp takes one for each
            self._seed = int.from_bytes(os.urandom(4), "little") % RANDOM_SEED
        given = sampling | {"seed": self._seed}
        self.samplers = active(chain(given, n_ctx=n_ctx, suppressed=len(place.banned)))
        self._handles: list[Any] = []
        self._grammar = start_grammar(place, given.get("grammar"))
        self._grammar_first = pythons(given)
        for sampler in self.samplers:
            self._handles.append(start(sampler, place))
        self._draws = Draws(place.library, self.samplers, self._handles)
        self._candidates = np.empty(self._n_vocab, CANDIDATE)
        self._ids = np.arange(self._n_vocab, dtype=np.int32)

    def draw(self, logits: Array) -> Drawn:
        """Choose an id from a row of logits (v,), with what every sampler did."""
        applied = self.apply(logits)
        before = Distribution(self._ids, logits, self._n_vocab)
        watched = _watched(before, applied)
        return Drawn(applied.id, _stages(before, applied, watched), watched.tolist(), before.of(watched).tolist())

    def apply(self, logits: Array) -> Applied:
        """Choose an id from a row of logits (v,): the chain, and where a grammar refuses its id, both again."""
        if self._grammar is None or not self._grammar_first:
            applied = self._pass(self._array(logits))
            if self._grammar is None or self._allowed(applied.id):
                return applied
        array = self._array(logits)
        self._library.llama_sampler_apply(self._grammar, ctypes.byref(array))
        found = view(array)
        allowed = Distribution(found["id"], found["logit"], self._n_vocab)
        again = self._pass(array)
        return Applied(again.id, ["grammar", *again.names], [allowed, *again.left], [None, *again.draws])

    def accept(self, token: int, *, generated: bool = True) -> None:
        """Tell every sampler that this token is now part of the text; a grammar hears of generated ones only."""
        for handle in self._handles:
            self._library.llama_sampler_accept(handle, token)
        if generated and self._grammar is not None:
            self._library.llama_sampler_accept(self._grammar, token)

    def seed(self) -> int:
        """The seed that the samplers really use (a random one where 2**32 - 1 was asked for)."""
        return self._seed

    def close(self) -> None:
        """Free the samplers."""
        for handle in [*self._handles, *([self._grammar] if self._grammar else [])]:
            self._library.llama_sampler_free(handle)
        self._handles, self._grammar = [], None

    def _array(self, logits: Array) -> Any:
        data = self._candidates
        data["id"], data["logit"], data["p"] = self._ids, logits, 0
        return self._of(data)

    def _of(self, data: Array) -> Any:
        array = self._library.llama_token_data_array()
        array.data = ctypes.cast(data.ctypes.data, ctypes.POINTER(self._library.llama_token_data))
        array.size, array.selected, array.sorted = len(data), -1, False
        return array

    def _pass(self, array: Any) -> Applied:
        left, draws = [], []
        for place, handle in enumerate(self._handles):
            size = int(array.size)
            self._library.llama_sampler_apply(handle, ctypes.byref(array))
            found = view(array)
            left.append(_sound(Distribution(found["id"], found["logit"], self._n_vocab), self.samplers[place].name))
            draws.append(self._draws.of(place, found["p"], int(array.selected), size))
        if array.selected < 0 or not left[-1].n_left:
            raise CannotRun(
                "the samplers left no candidate",
                "accepted are settings that leave one",
                "look at logit_bias and grammar",
            )
        names = [sampler.name for sampler in self.samplers]
        return Applied(int(array.data[array.selected].id), names, left, draws)

    def _allowed(self, token: int) -> bool:
        one = np.array([(token, 1.0, 0.0)], CANDIDATE)
        array = self._of(one)
        self._library.llama_sampler_apply(self._grammar, ctypes.byref(array))
        return bool(one["logit"][0] > -np.inf)


def _sound(found: Distribution, sampler: str) -> Distribution:
    """What a sampler left. Errors: `CannotRun` where its logits are no numbers any more."""
    if found.sound:
        return found
    raise CannotRun(
        f"the logits that the sampler {sampler} left are no numbers (NaN or infinite)",
        "accepted are settings that a 32-bit float can be computed with",
        "look for very large or very small numbers among the penalties, logit_bias and the temperature",
    )


def _watched(before: Distribution, applied: Applied) -> Array:
    """The ids to follow: the model's best, the best of what was left, each first place, the one drawn. (w,)"""
    firsts = [found.best(1) for found in applied.left]
    ids = np.concatenate([before.best(BEST), applied.left[-1].best(BEST), *firsts, [applied.id]])
    return np.array(list(dict.fromkeys(ids.tolist())), np.int32)


def _stages(before: Distribution, applied: Applied, watched: Array) -> list[Stage]:
    stages = []
    for name, left, draw in zip(applied.names, applied.left, applied.draws, strict=True):
        best = left.best(BEST)
        counts = left.n_left, before.n_left - left.n_left
        tops = best.tolist(), left.of(best).tolist()
        stages.append(Stage(name, *counts, *tops, before.kept_by(left), left.of(watched).tolist(), draw))
        before = left
    return stages
