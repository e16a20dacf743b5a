"""Devices and memory: what llama.cpp sees, and what a setup takes of it, estimated beside reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.runtime.memory import size
from workbench.views.html import code, escape, heading, notes, table, wrong

if TYPE_CHECKING:
    from workbench.runtime.devices import Devices
    from workbench.runtime.memory_estimate import Memory, Part

UNKNOWN = "–"


def view(value: Devices) -> str:
    """One row a device."""
    rows = [
        [
            code(device.name),
            escape(device.type),
            escape(device.description),
            escape(_bytes(device.memory_free)),
            escape(_bytes(device.memory_total)),
            escape(", ".join(device.capabilities) or UNKNOWN),
        ]
        for device in value
    ]
    head = ("device", "type", "description", "free", "in all", "capabilities")
    return heading("Devices", f"{len(rows)} that llama.cpp sees") + table(head, rows)


def view_memory(value: Memory) -> str:
    """Where the layers lie, then each buffer with its estimate, what was reported, and the error."""
    rows = [
        [
            code(part.device),
            code(part.buffer),
            escape(part.kind),
            escape(_bytes(part.estimated)),
            escape(_bytes(part.reported)),
            escape(_error(part)),
        ]
        for part in value.parts
    ]
    used = dict.fromkeys(part.device for part in value.parts)
    sums = [f"{name}: {size(value.total(name))} of {_bytes(value.free(name))} free" for name in used]
    parts = [heading("Memory", "; ".join(sums)), wrong(value.refused) if value.refused else ""]
    parts += [notes(value.notes), escape(layers_words(value.places))]
    return "".join([*parts, table(("device", "buffer", "holds", "estimated", "reported", "error"), rows)])


def layers_words(places: tuple[str, ...]) -> str:
    """`Layers: CPU 0-26, RPC0 27-29; output layer: RPC0.`"""
    if not places:
        return ""
    spans = []
    for name in dict.fromkeys(places[:-1]):
        numbers = [layer for layer, place in enumerate(places[:-1]) if place == name]
        spans.append(f"{name} {numbers[0]}" + (f"-{numbers[-1]}" if len(numbers) > 1 else ""))
    return f"Layers: {', '.join(spans)}; output layer: {places[-1]}."


def _error(part: Part) -> str:
    return UNKNOWN if part.error is None else f"{part.error:+.2%}"


def _bytes(amount: int | None) -> str:
    return UNKNOWN if amount is None else size(amount)
