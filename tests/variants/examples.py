"""A comparison made by hand: six tokens, of which two are the answer; a variant with figures, one without."""

from __future__ import annotations

import numpy as np

from workbench.compare.floor import FloorRow, NoiseFloor
from workbench.compare.places import Place
from workbench.compare.scores import ScoresPair
from workbench.errors import CannotRun
from workbench.quality import Recipe, Rung, Used
from workbench.setup import Setup
from workbench.stages import Scores, Tokens
from workbench.values import FrozenJSON
from workbench.variants import Variant, Variants
from workbench.variants.result import changes_between

PIECES = (b"<|turn|>", b"say", b"\n", b" it", b"<tool_call>", b"{}")
KINDS = ("frame", "prose", "prose", "prose", "tool call", "tool call")
K = 3
BASE, LOW = Setup(model="base.gguf"), Setup(model="low.gguf")


def scores(first: list[int], margin: float) -> Scores:
    """Six rows whose best token is `first`, the others behind it."""
    n = len(first)
    tops = np.stack([np.array([f, *[i for i in range(6) if i != f][: K - 1]]) for f in first])
    flat = np.full(n, 0.5)
    known = np.append(np.full(n - 1, -0.25), np.nan)
    ranks = np.append(np.ones(n - 1), 0)
    logprobs = np.tile([-0.1, -0.1 - margin, -3.0], (n, 1))
    return Scores(known, ranks, flat, flat, np.full(n, margin), tops, logprobs)


def made(pieces: tuple[bytes, ...] = PIECES, name: str = "low") -> Variants:
    """First place flips at rows 1 (prose) and 3 (the call); the floor swallows neither."""
    n = len(pieces)
    spans = np.stack([np.arange(n), np.arange(n) + 1], axis=1)
    tokens = Tokens(np.arange(n), pieces, ("control", *["normal"] * (n - 1)), spans, spans, (), 8)
    a, b = scores([1, 2, 3, 4, 5, 0], 2.0), scores([1, 0, 3, 0, 5, 0], 1.0)
    floor = NoiseFloor((FloorRow("the same again", 6, 1e-6, 1e-5, 1.0, 0.01, 0.0),))
    names = tuple(enumerate(pieces))
    places = (Place("template", ""), *[Place("message", "messages[0]")] * 3, *[Place("answer", "")] * 2)
    kl = np.array([1e-6, 0.5, 0.005, 2.0, 0.05, 0.0])
    common = {"pieces": pieces, "places": places, "names": names, "floor": floor}
    pair = ScoresPair(a, b, kl, changes=changes_between(BASE, LOW), **common)
    used = (Used("Q5_0", 4, 1 << 20), Used("F32", 2, 64))
    rung = Rung(Recipe("Q4_K_M"), "low.gguf", 1 << 20, used, used[:1])
    error = CannotRun("it does not fit", "", "free memory").to_dict()
    return Variants(
        reference=Variant("base", BASE, None, 1 << 20, None, "<tool_call>{}", (4, 5)),
        others=(
            Variant(name, LOW, rung, 1 << 19, pair, "<tool_call>[]", (4, 3), elapsed_ms=FrozenJSON({"scores": 7.0})),
            Variant("gone", LOW, error=FrozenJSON(error)),
        ),
        tokens=tokens,
        scores=a,
        n_prompt=4,
        kinds=KINDS,
        places=places,
        names=names,
        floor=floor,
        notes=("the base is <no> original",),
    )
