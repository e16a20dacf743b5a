"""What a build of llama.cpp is tried on: kinds of weights, prompts, attention and buffers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.runtime.recipe import Recipe

# Names of the figures -> how toolsmith is written for them. Each has kernels of its own in every instruction set.
KINDS: dict[str, Recipe | None] = {
    "F16": None,  # as it is shipped
    "Q8_0": Recipe("Q8_0"),
    "Q4_0": Recipe("Q4_0", pure=True),
    "Q4_K": Recipe("Q4_K_S", pure=True),
    "Q6_K": Recipe("Q6_K", pure=True),
}
LENGTHS = (1, 7, 64, 300)  # tokens: one at a time, an odd few, a batch, a batch that fills no tile
N_CTX = 512
# Nats of KL divergence from the shipped figures that still are rounding; measured were at most 2.4e-5
# for F16 and 0.027 for the others, whose kernels round what they multiply with too. A wrong kernel is whole nats off.
MOST_NATS = {"F16": 0.002, "Q8_0": 0.25, "Q4_0": 0.25, "Q4_K": 0.25, "Q6_K": 0.25}
FIGURES = Path(__file__).parent / "figures.npz"


class Case(NamedTuple):
    """One load of the weights: their kind, and whether llama.cpp may lay them out for the processor anew."""

    kind: str
    extra_buffers: bool

    def __str__(self) -> str:
        return f"{self.kind} with{'' if self.extra_buffers else 'out'} extra buffers"


CASES = tuple(Case(kind, extra) for extra in (True, False) for kind in KINDS)


@cache
def figures() -> dict[str, np.ndarray[Any, Any]]:
    """`ids` (300,) int32, and for each kind log-probabilities behind the last token, (lengths, vocabulary) float32."""
    with np.load(FIGURES, allow_pickle=False) as kept:
        return {name: kept[name].astype(np.int32 if name == "ids" else np.float32) for name in kept.files}


def prompts() -> list[list[int]]:
    """The ids of each length."""
    ids = figures()["ids"].tolist()
    return [ids[:length] for length in LENGTHS]


def nats_from(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float:
    """KL divergence of two rows of log-probabilities (vocabulary,), nats; infinite where `found` is no distribution."""
    if not np.isfinite(found).all():
        return float("inf")
    p = np.exp(expected.astype(np.float64))
    return float(max(np.sum(p * (expected.astype(np.float64) - found.astype(np.float64))), 0.0))
