"""The random numbers that a chain's samplers drew: computed from the seed, kept only where they fit what happened."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.runtime.candidates import CANDIDATE
from workbench.runtime.scoring import Array
from workbench.sampling.chain import DRAWING, Sampler
from workbench.sampling.numbers import doubles, floats

Draw = tuple[float | None, float, float]  # see `stages.Draw`
PROBE = 4096  # equally likely candidates, to see where a copy of a sampler draws
ROUNDING = 1e-5  # the shares are sums of float32


class Draws:
    """What each sampler of a chain drew. A number that does not fit is not told, nor any after it."""

    def __init__(self, library: Any, samplers: list[Sampler], handles: list[Any]) -> None:
        self._samplers = samplers
        self._numbers: list[Iterator[float] | None] = [_numbers(sampler) for sampler in samplers]
        self._draws_alone = samplers[-1].name == "dist" and _draws_alone(library, handles[-1], samplers[-1])

    def of(self, place: int, probs: Array, selected: int, size: int) -> Draw | None:
        """What the sampler at `place` drew; `probs` (c,) are its output's, `size` the candidates before it."""
        sampler = self._samplers[place]
        if sampler.name == "xtc":
            return self._of_xtc(place, sampler, removed=size - len(probs), size=size)
        if sampler.name not in DRAWING or selected < 0:
            return None
        low = float(probs[:selected].sum(dtype=np.float64))
        high = low + float(probs[selected])
        number = self._next(place) if len(probs) > 1 or self._draws_alone else None
        if number is not None and not low - ROUNDING <= number <= high + ROUNDING:
            number = self._numbers[place] = None
        return number, low, high

    def _of_xtc(self, place: int, sampler: Sampler, *, removed: int, size: int) -> Draw | None:
        """The sampler draws whether it works at all, where there is more than one candidate."""
        probability = float(sampler.parameters["probability"])
        if size < 2:
            return None
        number = self._next(place)
        if number is not None and removed and number > probability + ROUNDING:
            number = self._numbers[place] = None
        return number, 0.0, probability

    def _next(self, place: int) -> float | None:
        numbers = self._numbers[place]
        return next(numbers) if numbers is not None else None


def _numbers(sampler: Sampler) -> Iterator[float] | None:
    if sampler.name == "xtc":
        return floats(sampler.parameters["seed"])
    return doubles(sampler.parameters["seed"]) if sampler.name in DRAWING else None


def _draws_alone(library: Any, handle: Any, sampler: Sampler) -> bool:
    """Whether this llama.cpp's dist draws for a single candidate too, as it does since 2026; a copy of it is asked.

    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-sampler.cpp#L1163
    """
    numbers = doubles(sampler.parameters["seed"])
    next(numbers)
    copy = library.llama_sampler_clone(handle)
    try:
        _place_of(library, copy, 1)
        return _place_of(library, copy, PROBE) == math.ceil(next(numbers) * PROBE) - 1
    finally:
        library.llama_sampler_free(copy)


def _place_of(library: Any, handle: Any, count: int) -> int:
    """Which of `count` equally likely candidates a sampler draws."""
    data = np.zeros(count, CANDIDATE)
    array = library.llama_token_data_array()
    array.data = ctypes.cast(data.ctypes.data, ctypes.POINTER(library.llama_token_data))
    array.size, array.selected, array.sorted = count, -1, False
    library.llama_sampler_apply(handle, ctypes.byref(array))
    return int(array.selected)
