"""Whether a model fits in memory, asked before it is loaded.

Linux hands out more memory than there is and kills a process when it is used, so a failed allocation
is no answer. What cannot be computed for an architecture counts as nothing: a model is refused only
when it surely does not fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import CannotRun
from workbench.gguf.header import Header
from workbench.runtime.params import wanted_n_ctx

# Bytes of one value of a KV-cache type: blocks of 32 values with their scales.
VALUE_BYTES = {
    "f32": 4,
    "f16": 2,
    "bf16": 2,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
CONTEXT_STEP = 256  # llama.cpp rounds the context up to a multiple of this
CGROUP = Path("/sys/fs/cgroup")
UNKNOWN_CACHES = ("attention.kv_lora_rank", "attention.shared_kv_layers")  # caches of another shape


class Need(NamedTuple):
    """Bytes that a setup surely needs."""

    weights: int
    kv_cache: int
    n_ctx: int


def need(header: Header, runtime: dict[str, Any]) -> Need:
    """What weights and KV cache of this model take with these settings."""
    n_ctx = wanted_n_ctx(runtime["n_ctx"], header.context_length or 0)
    n_ctx += -n_ctx % CONTEXT_STEP
    keys, values = _cache_width(header)
    per_token = keys * VALUE_BYTES[runtime["type_k"]] + values * VALUE_BYTES[runtime["type_v"]]
    return Need(header.weights_bytes, int(n_ctx * per_token), n_ctx)


def require_room(path: str, wanted: Need, free: int | None) -> None:
    """Errors: `CannotRun` where weights and KV cache are more than the `free` bytes; None is unknown."""
    total = wanted.weights + wanted.kv_cache
    if free is None or total <= free:
        return
    raise CannotRun(
        f"{path} does not fit in memory: it needs {size(wanted.weights)} for weights and "
        f"{size(wanted.kv_cache)} for the KV cache of {wanted.n_ctx:,} tokens, and {size(free)} are available",
        "a model runs when both fit",
        "set a smaller runtime.n_ctx or smaller KV-cache types"
        if wanted.weights < free
        else "use a smaller file, or free memory",
    )


def available() -> int | None:
    """Bytes that can be used without swapping, the control group's limit considered; None where unknown."""
    limits = [amount for amount in (_machine(), _control_group()) if amount is not None]
    return min(limits, default=None)


def size(n: int) -> str:
    """`1.5 GiB`."""
    amount = float(n)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def _cache_width(header: Header) -> tuple[int, int]:
    """Values of keys and of values that one token adds over all layers, (0, 0) where that is not known."""
    layers, heads, width = header.n_layer, header.own("attention.head_count"), header.own("embedding_length")
    if not layers or not heads or not width or any(header.own(key) for key in UNKNOWN_CACHES):
        return 0, 0
    per_layer = _each_layer(header.own("attention.head_count_kv", heads), layers)
    first = max(_each_layer(heads, layers), default=0)
    if not per_layer or not first:
        return 0, 0
    key = header.own("attention.key_length") or width // first
    value = header.own("attention.value_length") or width // first
    return sum(per_layer) * key, sum(per_layer) * value


def _each_layer(value: Any, layers: int) -> list[int]:
    if isinstance(value, int):
        return [value] * layers
    return [int(item) for item in value] if isinstance(value, list) and len(value) == layers else []


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    amounts = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return amounts[0] if amounts else None


def _control_group() -> int | None:
    """What the control groups (version 2, then 1) leave; file pages that can be dropped count as free."""
    found = [
        _left(folder / "memory.max", folder / "memory.current", folder / "memory.stat", "inactive_file")
        for folder in _groups()
    ]
    old = CGROUP / "memory"
    found.append(
        _left(
            old / "memory.limit_in_bytes",
            old / "memory.usage_in_bytes",
            old / "memory.stat",
            "total_inactive_file",
        )
    )
    return min((amount for amount in found if amount is not None), default=None)


def _groups() -> list[Path]:
    """This process's version 2 group and those above it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[4:].strip("/") for line in lines if line.startswith("0::/")), "")
    folder = CGROUP / own
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(CGROUP))]


def _left(limit: Path, used: Path, statistics: Path, droppable: str) -> int | None:
    try:
        most, now = limit.read_text().strip(), int(used.read_text())
        lines = statistics.read_text().splitlines()
    except (OSError, ValueError):
        return None
    if not most.isdigit() or int(most) >= 1 << 60:  # "max": no limit
        return None
    cache = sum(int(line.split()[1]) for line in lines if line.split()[:1] == [droppable])
    return max(0, int(most) - now + cache)
