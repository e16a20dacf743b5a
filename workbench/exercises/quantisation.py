"""The exercises of the notebook on quantisation: each check makes or measures what was answered, and explains."""

from __future__ import annotations

from functools import cache
from typing import Any

from workbench.compare.layers import TensorGroups
from workbench.data import demo_model, requests, toolsmith
from workbench.errors import WorkbenchError
from workbench.exercises.checked import Checked
from workbench.groups import which_tensors
from workbench.quality import Recipe, Rung, ladder
from workbench.runtime.quantise import quantised
from workbench.setup import KV_TYPES, Setup
from workbench.variants import Variants, compare_variants

MOST_CACHE = 0.55  # of an F16 cache's bytes, in exercise 3
CALL = requests()["read-a-file"]


@cache
def stored_as_f16() -> str:
    """The demo model stored as F16: its weights are still those of the Q4_1 file that it is made of."""
    return str(quantised(demo_model(), Recipe("F16", requantise=True)))


def small_model() -> Setup:
    """Toolsmith on one thread: two would wait for each other longer than they compute."""
    return Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1}})


@cache
def mixture() -> Rung:
    """What llama.cpp makes where it is asked for a Q4_K_M of the demo model."""
    return ladder(stored_as_f16(), ["Q4_K_M"]).rungs[0]


def really_holds(answer: Any) -> Checked:
    """Quantisation, exercise 1: the number of matrices in `mixture()` that are really Q4_K."""
    if isinstance(answer, bool) or not isinstance(answer, int):
        return Checked(False, "answer_1 is no whole number yet. Hint: mixture().used lists the types with their counts")
    counts = {used.type: used.tensors for used in mixture().used}
    if answer != counts["Q4_K"]:
        whose = [kind for kind, count in counts.items() if count == answer]
        return Checked(False, f"{answer} are {whose[0]}" if whose else f"no type is in {answer} tensors")
    why = "a row of 576 weights is no multiple of 256, so most matrices fell back"
    return Checked(True, f"it holds {mixture().words}: {why}, and the name tells of {answer} of them")


def does_the_damage(answer: Any) -> Checked:
    """Quantisation, exercise 2: the group of tensors of toolsmith's Q2_K that restores most when put back alone."""
    found = _groups()
    names = [effect.group for effect in found.effects]
    if not isinstance(answer, str) or answer not in names:
        return Checked(False, f"answer_2 is no group. Hint: they are {', '.join(sorted(names))}")
    best, mine = found.effects[0], next(effect for effect in found.effects if effect.group == answer)
    if mine != best:
        return Checked(False, f"{answer} put back restores {100 * mine.restored:.0f} %, and another group more")
    cost = f"{best.extra_bytes / 2**20:.2f} MiB"
    return Checked(True, f"{answer} restores {100 * best.restored:.0f} % of the divergence for {cost}")


@cache
def _groups() -> TensorGroups:
    low = ladder(toolsmith(), ["Q2_K"]).rungs[0].path
    return which_tensors(CALL, small_model(), small_model().replace(model=low))


def halves_the_cache(answer: Any) -> Checked:
    """Quantisation, exercise 3: K and V types with at most `MOST_CACHE` of the bytes and no flip of first place."""
    wanted = ("type_k", "type_v")
    if not isinstance(answer, dict) or set(answer) != set(wanted) or not {*map(str, answer.values())} <= {*KV_TYPES}:
        return Checked(
            False, f'answer_3 is no pair of types. Hint: {{"type_k": "f16", "type_v": "f16"}}, out of {KV_TYPES}'
        )
    try:
        found = _with_cache(str(answer["type_k"]), str(answer["type_v"]))
    except WorkbenchError as error:
        return Checked(False, str(error))
    variant = found.others[0]
    share = variant.cache_bytes / found.reference.cache_bytes
    if variant.error is not None:
        return Checked(False, variant.trouble)
    if share > MOST_CACHE:
        return Checked(
            False, f"it takes {100 * share:.0f} % of the bytes; at most {100 * MOST_CACHE:.0f} % are asked for"
        )
    if flips := found.count(variant).all:
        return Checked(False, f"first place flips at {flips} of {len(found)} tokens")
    return Checked(True, f"{100 * share:.0f} % of the bytes, and every first place stays, over prompt and answer")


@cache
def _with_cache(type_k: str, type_v: str) -> Variants:
    base = small_model()
    small = base.replace(**{"runtime.type_k": type_k, "runtime.type_v": type_v})
    return compare_variants(CALL, base, {"the smaller cache": small}, floor=False)
