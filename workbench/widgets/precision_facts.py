"""What the quantisation lab's page is told: the controls, a row for each column, the strips as arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.compare.text_kinds import TEXT_KINDS
from workbench.setup import KV_TYPES
from workbench.variants import Variant, Variants
from workbench.views.candidates import Candidates, of_position
from workbench.views.layers import figure
from workbench.views.variant_strips import DIVERGENCE, expected, step_of
from workbench.views.variants import lies
from workbench.widgets import payload
from workbench.widgets.payload import WIRE, Payload, clean, cleaned
from workbench.widgets.precisions import FILE, FLASH, TYPES, Precisions, as_dict
from workbench.widgets.sources import Sources

NO_STEP = 255
MOST_CANDIDATES = 6


def controls(choices: Precisions, sources: Sources) -> dict[str, Any]:
    """Values, the columns' names, and the lists to choose from."""
    files = [(FILE + path, path.rpartition("/")[2]) for path in sources.models if path != choices.model]
    told = {
        "values": as_dict(choices),
        "names": list(choices.names),
        "options": {
            "model": [(path, path.rpartition("/")[2]) for path in sources.models],
            "request": [*((name, name) for name in sources.requests), ("", "your own")],
            "weights": [("", "base file"), *((kind, kind) for kind in TYPES), *files],
            "type": [(kind, kind) for kind in KV_TYPES],
            "flash": [(name, name) for name in FLASH],
        },
    }
    found: dict[str, Any] = cleaned(told)
    return found


def rows(found: Variants | None, choices: Precisions, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """The figures of each column in words, in the columns' order."""
    made = []
    for name in choices.names:
        variant = None
        with contextlib.suppress(KeyError):
            variant = found[name] if found is not None else None
        trouble = errors.get(name) or (variant.trouble if variant is not None else "")
        made.append({"name": clean(name), "trouble": clean(trouble), **_figures(found, variant)})
    return made


def _figures(found: Variants | None, variant: Variant | None) -> dict[str, Any]:
    if found is None or variant is None:
        return {}
    facts: dict[str, Any] = {"cache": f"{variant.cache_bytes / 2**20:.1f}"}
    if variant.weights is not None:
        facts |= {"size": f"{variant.weights.bytes / 2**20:.1f}", "types": variant.weights.words}
        facts["lies"] = bool(variant.weights.fallen)
    facts["time"] = f"{variant.elapsed_ms.value().get('scores', 0.0):.0f} ms"
    if (pair := variant.pair) is None:
        return facts
    counted, at = found.count(variant), found.parts_at(variant)
    facts |= {"kl": figure(pair.mean_kl), "beyond": pair.beyond_floor, "same": f"{100 * pair.same_top:.1f} %"}
    facts["flips"] = f"{counted.all:,}" + (f" ({counted.beyond_floor:,})" if counted.beyond_floor is not None else "")
    facts["critical"] = f"{counted.in_calls_and_code:,}"
    facts["answer"] = "–" if variant.answer is None else "the same" if at is None else f"parts at {at}"
    return facts


def notes(found: Variants | None) -> list[tuple[str, str]]:
    """What to know before reading the figures, each with how it looks ("note" or "plain")."""
    if found is None:
        return []
    said = [(clean(text), "note") for text in (*found.notes, *(f"the name lies: {words}" for words in lies(found)))]
    if (floor := found.floor) is not None:
        least = f"mean KL {figure(floor.mean_kl)} nats, a flip within {floor.swing:.3f} nats says nothing"
        said.append((f"noise floor of the reference: {least}", "plain"))
    return said


def strips(found: Variants) -> Payload:
    """The tokens and, for each variant with figures, its steps and what it expects where first place differs."""
    sent = payload.tokens(found.tokens)
    shown = [variant for variant in found.others if variant.pair is not None]
    floor = found.floor.max_kl if found.floor is not None else 0.0
    arrays: dict[str, tuple[str, Any]] = {"kinds": ("u8", [TEXT_KINDS.index(kind) for kind in found.kinds])}
    flips = []
    for k, variant in enumerate(shown):
        arrays[f"look_{k}"] = ("u8", _looks(variant, floor))
        flips.append([[i, clean(text)] for i in range(len(found)) if (text := expected(found, variant, i))])
    facts = {
        "n_prompt": found.n_prompt,
        "names": [clean(variant.name) for variant in shown],
        "flips": flips,
        "legend": [step.words for step in DIVERGENCE],
        "kind_names": list(TEXT_KINDS),
    }
    buffers = [np.ascontiguousarray(array, WIRE[kind]).tobytes() for kind, array in arrays.values()]
    names = [(name, kind) for name, (kind, _) in arrays.items()]
    return Payload(sent.facts | facts, sent.arrays + names, sent.buffers + buffers)


def _looks(variant: Variant, floor: float) -> list[int]:
    """For each token the step of the row before it, `NO_STEP` for the first."""
    assert variant.pair is not None
    steps = [step_of(float(kl), floor) for kl in variant.pair.kl[:-1]]
    return [NO_STEP, *(NO_STEP if step is None else step for step in steps)]


def sides(found: Variants, token: int) -> list[tuple[str, Candidates]]:
    """What each setup expected at a token, the reference first; nothing for the first token."""
    every = [(found.reference.name, found.scores)]
    every += [(variant.name, variant.pair.b) for variant in found.others if variant.pair is not None]
    return [
        (name, known) for name, scores in every if (known := of_position(scores, found.tokens, token, found.piece_of))
    ]


def selected(found: Variants, token: int | None) -> dict[str, Any]:
    """The candidates of each side at a token, with its kind and each variant's divergence and margins there."""
    if token is None or not 0 < token < len(found):
        return {"token": token, "sides": [], "facts": []}
    facts = [found.kinds[token], f"token {token:,}" + (", in the answer" if token >= found.n_prompt else "")]
    told = []
    for name, candidates in sides(found, token):
        best = [[c.rank, clean(c.piece), c.probability, c.here] for c in candidates.rows[:MOST_CANDIDATES]]
        told.append({"name": clean(name), "words": _words(found, name, token - 1), "rows": best})
    return {"token": token, "sides": told, "facts": facts}


def _words(found: Variants, name: str, row: int) -> str:
    """`margin 0.210 nats`, and of a variant `KL 0.0123, flips beyond the floor`."""
    variant = next((one for one in found.others if one.name == name and one.pair is not None), None)
    if variant is None or variant.pair is None:
        return f"margin {float(found.scores.margin[row]):.3f} nats"
    pair = variant.pair
    words = f"KL {figure(float(pair.kl[row]))}, margin {float(pair.b.margin[row]):.3f} nats"
    flip = next((flip for flip in pair.flips if flip.position == row), None)
    if flip is None:
        return words
    verdict = {None: "", True: ", beyond the floor", False: ", within the floor: says nothing"}[flip.beyond_floor]
    return f"{words}; first place flips{verdict}"
