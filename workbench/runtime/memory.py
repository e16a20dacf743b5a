"""What memory there is, and what of it a token takes in the KV cache.

Linux hands out more memory than there is and kills a process when it is used, so a failed allocation
is no answer to whether a model fits: `workbench.runtime.placement` reckons it before anything is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.gguf.header import Header
from workbench.gguf.sizes import n_layer, whole
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
# What llama.cpp keeps of each token of a context, whatever the model: its position, its shift, its place in an image
# and which of 256 sequences it belongs to.
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-kv-cells.h
CELL_BYTES = 4 + 4 + 8 + 32
CGROUP = Path("/sys/fs/cgroup")
ATTENTION = ("attn_k", "attn_qkv")  # how the matrices of a layer with attention are called
UNKNOWN_CACHES = ("attention.kv_lora_rank", "attention.shared_kv_layers")  # caches of another shape


def context_length(header: Header, runtime: dict[str, Any]) -> int:
    """Tokens that the context of these settings holds."""
    n_ctx = wanted_n_ctx(runtime["n_ctx"], header.context_length or 0)
    return n_ctx + -n_ctx % CONTEXT_STEP


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


def cache_widths(header: Header) -> list[tuple[int, int]]:
    """How many values of keys and of values a token adds in each layer; no items where that is not known.

    Where a layer's own matrices for them are there, they tell; else what the header says does.
    """
    layers, width = n_layer(header), whole(header.own("embedding_length"), least=1)
    heads = _each_layer(header.own("attention.head_count"), layers)
    keys = header.own("attention.head_count_kv")
    per_layer = _each_layer(keys, layers) if keys is not None else heads
    first = max(heads, default=0)
    if not per_layer or not first or not width or any(header.own(key) for key in UNKNOWN_CACHES):
        return []
    key = whole(header.own("attention.key_length"), least=1) or width // first
    value = whole(header.own("attention.value_length"), least=1) or width // first
    rows = {tensor.name: tensor.shape[1] for tensor in header.tensors if len(tensor.shape) == 2}
    return [
        (rows.get(f"blk.{i}.attn_k.weight", n * key), rows.get(f"blk.{i}.attn_v.weight", n * value)) if n else (0, 0)
        for i, n in enumerate(per_layer)
    ]


def has_cells(header: Header) -> bool:
    """Whether the context notes each of its tokens: where a layer has attention. A recurrent state does not."""
    parts = (tensor.name.split(".") for tensor in header.tensors)
    return any(len(names) > 2 and names[2].startswith(ATTENTION) for names in parts)


def _each_layer(value: Any, layers: int) -> list[int]:
    items = value if isinstance(value, list) and len(value) == layers else [value] * layers
    numbers = [number for item in items if (number := whole(item)) is not None]
    return numbers if len(numbers) == layers else []


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
