"""Which device takes which part of a model, reckoned as llama.cpp does it, and whether it fits there.

Behaviour: the layers of the model's end go to the devices, the output layer counting as one more; several
devices share them by `tensor_split`, else by free memory; the embeddings stay on the CPU.
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-model.cpp#L1556
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from workbench.errors import CannotRun
from workbench.gguf.header import Header
from workbench.gguf.sizes import EMBEDDINGS, layer_of, n_layer
from workbench.runtime.devices import Device
from workbench.runtime.memory import (
    CELL_BYTES,
    CONTEXT_STEP,
    VALUE_BYTES,
    cache_widths,
    context_length,
    has_cells,
    size,
)

# What llama.cpp looks up by row and therefore keeps on the CPU.
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-arch.cpp#L728
INPUTS = ("token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight")
OUTPUT = "output.weight"
CPU = "CPU"


class Layout(NamedTuple):
    """Bytes of a model's parts, before any of them has a place. `layers` and `cache` are by layer.

    `tied`: the embeddings where they are the output matrix too; on another device than the CPU they lie twice.
    `cells`: what llama.cpp notes of the context's tokens, always in this machine's memory.
    """

    n_ctx: int
    input: int
    layers: tuple[int, ...]
    output: int
    tied: int
    cache: tuple[int, ...]
    cells: int = 0


class Amount(NamedTuple):
    """Bytes that a device surely needs."""

    weights: int = 0
    cache: int = 0


def layout(header: Header, runtime: dict[str, Any]) -> Layout:
    """The parts of this model with these settings; a cache that is not known counts as nothing."""
    there, n_ctx = n_layer(header), context_length(header, runtime)
    layers, ends = [0] * there, {True: 0, False: 0}
    for tensor in header.tensors:
        layer = layer_of(tensor)
        if layer is None:
            ends[tensor.name in INPUTS] += tensor.nbytes
        elif layer < there:
            layers[layer] += tensor.nbytes
    by_name = {tensor.name: tensor.nbytes for tensor in header.tensors}
    per_key, per_value = VALUE_BYTES[runtime["type_k"]], VALUE_BYTES[runtime["type_v"]]
    cache = [int(n_ctx * (keys * per_key + values * per_value)) for keys, values in cache_widths(header)]
    return Layout(
        n_ctx=n_ctx,
        input=ends[True],
        layers=tuple(layers),
        output=ends[False],
        tied=0 if OUTPUT in by_name else by_name.get(EMBEDDINGS, 0),
        cache=tuple(cache or [0] * there),
        cells=n_ctx * CELL_BYTES if has_cells(header) else 0,
    )


def taking_part(runtime: dict[str, Any], named: Sequence[Device] | None, present: Sequence[Device]) -> list[Device]:
    """The devices beside the CPU that share the layers, in llama.cpp's order; `named` None: those it picks itself.

    Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama.cpp#L187
    """
    if named is None:
        own = {device.id or device.name: device for device in reversed(present) if device.type == "GPU"}
        order = [device for device in present if device in own.values()]
        servers = [device for device in order if device.name.startswith("RPC")]
        gpus = [device for device in order if device not in servers]
        named = servers + (gpus or [device for device in present if device.type == "integrated GPU"])
    chosen = [device for device in named if device.type != CPU]
    return chosen[runtime["main_gpu"] :][:1] if runtime["split_mode"] == "none" else chosen


def places(n_layer: int, runtime: dict[str, Any], devices: Sequence[Device]) -> tuple[str, ...]:
    """The device of each layer and, last, of the output layer (n_layer + 1 names)."""
    asked = runtime["n_gpu_layers"]
    moved = min(n_layer + 1 if asked < 0 else asked, n_layer + 1) if devices else 0
    if not moved:
        return (CPU,) * (n_layer + 1)
    shares = [float(device.memory_free or 0) for device in devices]
    if (split := runtime["tensor_split"]) is not None:
        shares = [*split, *[0.0] * len(devices)][: len(devices)]
    if not any(shares):
        shares = [1.0] * len(devices)
    ends = np.cumsum(np.array(shares, np.float32), dtype=np.float32)
    ends /= ends[-1]
    at = np.arange(moved, dtype=np.float32) / np.float32(moved)
    chosen = np.searchsorted(ends, at, side="right")
    return (CPU,) * (n_layer + 1 - moved) + tuple(devices[min(int(i), len(devices) - 1)].name for i in chosen)


def amounts(parts: Layout, runtime: dict[str, Any], devices: Sequence[Device]) -> dict[str, Amount]:
    """What each device needs, the CPU first."""
    where = places(len(parts.layers), runtime, devices)
    weights = dict.fromkeys([CPU, *(device.name for device in devices)], 0)
    cache = dict(weights)
    weights[CPU] += parts.input
    for name, layer, keys_and_values in zip(where, parts.layers, parts.cache, strict=False):
        weights[name] += layer
        cache[name if runtime["offload_kqv"] else CPU] += keys_and_values
    weights[where[-1]] += parts.output + (parts.tied if where[-1] != CPU else 0)
    return {name: Amount(weights[name], cache[name]) for name in weights}


def require_fit(
    path: str, parts: Layout, runtime: dict[str, Any], devices: Sequence[Device], here: int | None, *, loaded: bool
) -> None:
    """Errors: `CannotRun` where weights (unless `loaded`) and KV cache surely exceed what a device has free.

    `here`: bytes that are free on this machine, None where unknown; devices of its own memory share them. What
    is not known counts as nothing, so a model is refused only when it surely does not fit.
    """

    def short(parts: Layout, runtime: dict[str, Any]) -> tuple[str, Amount, int] | None:
        needed = amounts(parts, runtime, devices)
        needed[CPU] = needed[CPU]._replace(cache=needed[CPU].cache + parts.cells)
        return _shortage(needed, devices, here, loaded=loaded)

    found = short(parts, runtime)
    if found is None:
        return
    place, wanted, free = found
    raise CannotRun(
        f"{path} does not fit in {place}: it needs {size(wanted.weights)} for weights and "
        f"{size(wanted.cache)} for the KV cache of {parts.n_ctx:,} tokens, and {size(free)} are available",
        "a model runs when both fit",
        _what_would(parts, runtime, devices, short, wanted, free),
    )


def _what_would(
    parts: Layout, runtime: dict[str, Any], devices: Sequence[Device], short: Any, wanted: Amount, free: int
) -> str:
    """The largest context and the most layers on devices with which it would fit."""
    ways = []
    per_token = wanted.cache / parts.n_ctx
    tokens = int((free - wanted.weights) / per_token) // CONTEXT_STEP * CONTEXT_STEP if per_token else 0
    share = tokens / parts.n_ctx
    smaller = parts._replace(
        n_ctx=tokens, cache=tuple(int(c * share) for c in parts.cache), cells=int(parts.cells * share)
    )
    if tokens > 0 and short(smaller, runtime) is None:
        ways.append(f"set runtime.n_ctx to at most {tokens:,}, or smaller KV-cache types")
    if devices:
        layers = range(len(parts.layers) + 1, -1, -1)
        most = next((n for n in layers if short(parts, runtime | {"n_gpu_layers": n}) is None), None)
        if most is not None:
            ways.append(f"set runtime.n_gpu_layers to at most {most}")
    return ", or ".join(ways) or "use a smaller file, or free memory"


def _shortage(
    needed: dict[str, Amount], devices: Sequence[Device], here: int | None, *, loaded: bool
) -> tuple[str, Amount, int] | None:
    """The first memory that is too small, what is wanted of it, and its free bytes."""
    own = {device.name: device.memory_free for device in devices if not device.here}
    shared = Amount(
        sum(amount.weights for name, amount in needed.items() if name not in own),
        sum(amount.cache for name, amount in needed.items() if name not in own),
    )
    memories = [("memory", shared, here)]
    memories += [(f"the memory of {name}", needed[name], free) for name, free in own.items()]
    for place, wanted, free in memories:
        asked = Amount(0, wanted.cache) if loaded else wanted
        if free is not None and sum(asked) > free:
            return place, asked, free
    return None
