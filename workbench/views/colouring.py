"""What tokens are coloured by: one list of steps and bounds, for the static copy and for the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from workbench.compare.token_differences import DIFFERENCES, Bytes
from workbench.compare.token_facts import TOKEN_ORIGINS, TokenFacts
from workbench.views.palette import FAINT, ORIGINS, PROBABILITIES, Pair
from workbench.views.tokens import STRIPES

NO_STEP = 255
HEAT = tuple(pair for _, _, pair in PROBABILITIES)


class Step(NamedTuple):
    """One entry of a legend: `key` names its colours on the page, `pair` are those of the copy."""

    key: str
    words: str
    pair: Pair


class Colouring(NamedTuple):
    """`steps_of`: for each token its step, (n,) uint8, `NO_STEP` where it has none."""

    name: str
    steps: tuple[Step, ...]
    steps_of: Bytes


def _heat(*words: str) -> tuple[Step, ...]:
    return tuple(Step(f"p{i}", text, HEAT[i]) for i, text in enumerate(words))


RANKS = (1, 3, 10, 100)  # the worst rank of each step but the last
ENTROPIES = (0.1, 1.0, 2.0, 4.0)  # nats, the upper bound of each step but the last
SPEAKERS: dict[str, tuple[str, Pair]] = {
    "system": ("system", ("#fbe0ec", "#5e0f38")),
    "user": ("user", ORIGINS["message"]),
    "assistant": ("assistant", ("#d5efdf", "#10402a")),
    "tool": ("tools and results", ORIGINS["tool"]),
    "message": ("another role", ("#d3eef2", "#0c3d47")),
    "template": ("template", ORIGINS["template"]),
    "default": ("added by the engine", ORIGINS["default"]),
    "added": ("added by the tokenizer", ("#e6e6b8", "#3d3d00")),
    "mixed": ("of several origins", ("#f7d9bd", "#552a00")),
    "unknown": ("unknown", ORIGINS["unknown"]),
}
_DIFFERENCE_PAIRS: tuple[Pair, ...] = (FAINT, *(SPEAKERS[name][1] for name in ("user", "assistant")), *HEAT[:1:-1])
STEPS: dict[str, tuple[Step, ...]] = {
    "plain": tuple(Step(f"s{i}", "", pair) for i, pair in enumerate(STRIPES)),
    "probability": _heat(*(words for _, words, _ in PROBABILITIES)),
    "rank": _heat("first", "2–3", "4–10", "11–100", "over 100"),
    "entropy": _heat("under 0.1 nats", "0.1–1", "1–2", "2–4", "4 and more"),
    "origin": tuple(Step(f"o-{name}", *SPEAKERS[name]) for name in TOKEN_ORIGINS),
    "difference": tuple(
        Step(f"d{i}", words, pair) for i, (words, pair) in enumerate(zip(DIFFERENCES, _DIFFERENCE_PAIRS, strict=True))
    ),
}


def colours(facts: TokenFacts) -> tuple[str, ...]:
    """What these tokens can be coloured by, the most telling first."""
    names = ["difference"] if facts.other is not None else []
    names += ["probability", "rank", "entropy"] if facts.scores is not None else []
    return (*names, *(["origin"] if facts.rendered is not None else []), "plain")


def colouring(facts: TokenFacts, name: str) -> Colouring:
    """The steps of one colouring and where each token stands in it."""
    return Colouring(name, STEPS[name], _INDEX[name](facts).astype(np.uint8))


def _probability(facts: TokenFacts) -> Bytes:
    bounds = [math.log(least) for least, _, _ in PROBABILITIES[:-1]]
    # float64: a log-probability of exactly log(0.5) is at least one half
    steps = np.sum(facts.logprob.astype(np.float64)[:, None] < np.array(bounds) - 1e-7, axis=1)
    return np.where(np.isnan(facts.logprob), NO_STEP, steps).astype(np.uint8)


def _rank(facts: TokenFacts) -> Bytes:
    return np.where(facts.rank > 0, np.searchsorted(RANKS, facts.rank), NO_STEP).astype(np.uint8)


def _entropy(facts: TokenFacts) -> Bytes:
    steps = np.searchsorted(ENTROPIES, facts.entropy, side="right")
    return np.where(np.isnan(facts.entropy), NO_STEP, steps).astype(np.uint8)


_INDEX: dict[str, Callable[[TokenFacts], Bytes]] = {
    "plain": lambda facts: (np.arange(len(facts)) % len(STRIPES)).astype(np.uint8),
    "probability": _probability,
    "rank": _rank,
    "entropy": _entropy,
    "origin": lambda facts: facts.origin,
    "difference": lambda facts: facts.differences.kinds,
}
