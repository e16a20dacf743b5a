"""Keys and values of the KV cache at lower precision, each alone, with flash attention and without."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.variants.result import Variant, Variants
from workbench.variants.run import compare_variants

if TYPE_CHECKING:
    from workbench.compare.floor import NoiseFloor
    from workbench.progress import Cancel, Progress
    from workbench.prompt import Given

CACHE_TYPES = ("q8_0", "q4_0")


def cache_variants(
    setup: Setup, types: Sequence[str] = CACHE_TYPES, *, flash_attn: Sequence[bool] = (True, False)
) -> dict[str, Setup]:
    """Variants of `setup` by name: flash attention alone, then with each type K alone and V alone.

    A quantised V cache without flash attention is among them: llama.cpp refuses it, and the result says so.
    Errors: `BadRequest` for an unknown type.
    """
    found = {}
    for flash in flash_attn:
        said = f"flash {'on' if flash else 'off'}"
        same = setup.replace(**{"runtime.flash_attn": flash})
        found[said] = same
        for kind in types:
            found[f"K {kind}, {said}"] = same.replace(**{"runtime.type_k": kind})
            found[f"V {kind}, {said}"] = same.replace(**{"runtime.type_v": kind})
    return found


def cache_damage(
    given: Given,
    setup: Setup | str | Path,
    types: Sequence[str] = CACHE_TYPES,
    *,
    flash_attn: Sequence[bool] = (True, False),
    floor: NoiseFloor | bool = True,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Variants:
    """What each of `cache_variants` does to the tokens of `given`, against `setup` as it is; `blocks` are by position.

    In two processes, one variant after the other: the weights are loaded twice, however many variants there are.
    Errors: those of `compare_variants`.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    options: dict[str, Any] = {"answers": False, "progress": progress, "cancel": cancel}
    found: Variants | None = None
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(Host(setup)) for _ in range(2)]
        for name, variant in cache_variants(setup, types, flash_attn=flash_attn).items():
            tokens, known = (given, floor) if found is None else (found.tokens, found.floor or False)
            one = compare_variants(tokens, setup, {name: variant}, floor=known, hosts=hosts, **options)
            found = one if found is None else _with(found, one)
    assert found is not None
    return found


def _with(found: Variants, one: Variants) -> Variants:
    """The variants of both, which are of the same tokens."""
    names = tuple((dict(found.names) | dict(one.names)).items())
    variants = (*found.others, *one.others)
    return replace(found, others=tuple(_renamed(variant, found, names) for variant in variants), names=names)


def _renamed(variant: Variant, found: Variants, names: tuple[tuple[int, bytes], ...]) -> Variant:
    pair = variant.pair
    return replace(variant, pair=replace(pair, places=found.places, names=names) if pair is not None else None)
