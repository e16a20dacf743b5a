"""What a setup takes of each device's memory: reckoned before it is loaded, held against what llama.cpp reports.

Weights and KV cache are reckoned from the file's header and the settings. What only llama.cpp knows, the
compute buffers, it tells in a rehearsal that allocates nothing (`workbench.runtime.dry_run`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from workbench.gguf.header import Header, Tensor
from workbench.gguf.sizes import EMBEDDINGS, layer_of, n_layer
from workbench.progress import Cancel, Progress
from workbench.runtime.devices import Device, Devices
from workbench.runtime.host import Host
from workbench.runtime.memory import size
from workbench.runtime.model_file import model_file
from workbench.runtime.placement import CPU, INPUTS, OUTPUT, Amount, amounts, layout, places
from workbench.setup import Setup
from workbench.values import Value

MIB = 2**20
WEIGHTS, CACHE = "weights", "KV cache"
KINDS = {"model": WEIGHTS, "KV": CACHE, "RS": "recurrent state", "compute": "compute", "output": "output"}
MAPPED = "CPU_Mapped"  # the file's own pages: from the first to the last tensor that stays as it is


class Part(NamedTuple):
    """One buffer, in bytes. `estimated` None: not known beforehand; `reported` None: not loaded, or never made.

    llama.cpp reports in hundredths of a MiB.
    """

    device: str
    buffer: str  # as llama.cpp names it, an RPC server's address left out
    kind: str  # one of KINDS' values
    estimated: int | None
    reported: int | None = None

    @property
    def error(self) -> float | None:
        """(estimated - reported) / reported, None where one of them is missing or nothing was reported."""
        if self.estimated is None or not self.reported:
            return None
        return (self.estimated - self.reported) / self.reported


@dataclass(frozen=True)
class Memory(Value):
    """A setup's memory by buffer, and where its layers lie.

    `places` has the device of each layer and, last, of the output layer. `refused` says in one sentence why it
    cannot fit and what would, empty where it can; `notes` tell what the settings do otherwise than they sound.
    """

    setup: Setup
    devices: Devices
    parts: tuple[Part, ...]
    places: tuple[str, ...]
    refused: str = ""
    notes: tuple[str, ...] = ()

    def beside(self, info: Mapping[str, Any]) -> Memory:
        """The same with what llama.cpp reports: `info` is what `Host.load()` or `Host.info()` gave."""
        found = {}
        names = {item["description"]: item["name"] for item in info.get("available_devices", ())}
        for buffer, mib in info.get("buffers_mib", {}).items():
            found[_named(buffer, names)] = round(mib * MIB)
        known = {part[:3] for part in self.parts}
        parts = [part._replace(reported=found.get(part[:3])) for part in self.parts]
        parts += [Part(*key, None, amount) for key, amount in found.items() if key not in known]
        return replace(self, parts=tuple(parts))

    def total(self, device: str) -> int:
        """Estimated bytes on a device."""
        return sum(part.estimated or 0 for part in self.parts if part.device == device)

    def free(self, device: str) -> int | None:
        """Bytes that were free on a device before anything was loaded, None where it does not tell."""
        return self.devices[device].memory_free

    def to_dict(self) -> dict[str, Any]:
        """`{setup, devices, parts: [{device, buffer, kind, estimated, reported}], places, refused, notes}`."""
        return {
            "setup": self.setup.to_dict(),
            **self.devices.to_dict(),
            "parts": [part._asdict() for part in self.parts],
            "places": list(self.places),
            "refused": self.refused,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Memory:
        """The inverse of `to_dict`."""
        return cls(
            setup=Setup.from_dict(data["setup"]),
            devices=Devices.from_dict(data),
            parts=tuple(Part(**item) for item in data["parts"]),
            places=tuple(data["places"]),
            refused=data["refused"],
            notes=tuple(data["notes"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [part._asdict() | {"error": part.error} for part in self.parts]

    def __repr__(self) -> str:
        told = [f"{name} {size(self.total(name))}" for name in dict.fromkeys(part.device for part in self.parts)]
        return f"Memory({', '.join(told)}{'; refused' if self.refused else ''})"


def estimate(
    setup: Setup,
    *,
    host: Host | None = None,
    held_mib: Mapping[str, float] = MappingProxyType({}),
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Memory:
    """What `setup` would take, loading nothing. With `host` its process is asked, else one for this alone.

    What that process has loaded counts as free, for it makes room; so does `held_mib`, which another one would give
    back (`Host.held_mib`).
    A setup that does not fit is no error: see `refused`. Errors: `BadFile`, `BadRequest` for a device that is not
    there, `CannotRun` for settings that llama.cpp makes no context with, `Cancelled`, `HostDied`.
    """
    header = model_file(setup).sized
    weights = [tensor for tensor in header.tensors if _may_move(tensor, header)]
    asked = {"weights": [(tensor.type, tensor.shape) for tensor in weights], "held_mib": dict(held_mib)}
    asking = host or Host(setup)
    try:
        asking.use(setup)
        answer = asking.ask("dry_run", asked, progress=progress, cancel=cancel).header["values"]
        runtime, own_notes = asking.runtime, asking.notes
    finally:
        if host is None:
            asking.close()
    present = Devices.from_dict(answer["devices"])
    chosen = [present[name] for name in answer["taking_part"]]
    taken = {tensor.name: own for tensor, own in zip(weights, answer["own_layout"], strict=True) if own}
    names = {device.description: device.name for device in present}
    parts = [*reckoned(header, runtime, chosen, taken)]
    computed = {_named(buffer, names): round(mib * MIB) for buffer, mib in (answer["computed_mib"] or {}).items()}
    parts += [Part(*key, amount) for key, amount in computed.items()]
    return Memory(
        setup=setup,
        devices=present,
        parts=tuple(parts),
        places=places(n_layer(header), runtime, chosen),
        refused=answer["refused"],
        notes=(
            *answer["notes"],
            *own_notes,
            *_tight(amounts(layout(header, runtime), runtime, chosen), computed, present),
        ),
    )


def _tight(
    needed: Mapping[str, Amount], computed: Mapping[tuple[str, str, str], int], devices: Devices
) -> Iterator[str]:
    """Where all that is expected is more than what is free; devices of this machine's memory share it."""
    for names in [{d.name for d in devices if d.here}, *({d.name} for d in devices if not d.here)]:
        wanted = sum(sum(amount) for name, amount in needed.items() if name in names)
        wanted += sum(amount for (name, _, _), amount in computed.items() if name in names)
        free = min((d.memory_free for d in devices if d.name in names and d.memory_free is not None), default=None)
        if free is not None and wanted > free:
            place = ", ".join(sorted(names))
            yield f"with its compute buffers it needs {size(wanted)} of {place}, and {size(free)} are free"


def reckoned(
    header: Header, runtime: dict[str, Any], devices: Sequence[Device], own: Mapping[str, Sequence[Any]]
) -> Iterator[Part]:
    """Weights and KV cache by buffer. `own`: by tensor the extra buffer of the CPU that takes it, and its bytes."""
    where = places(n_layer(header), runtime, devices)
    here = [tensor for tensor in header.tensors if _place(tensor, where) == CPU]
    moved = own if runtime["use_extra_bufts"] else {}
    plain = [tensor for tensor in here if tensor.name not in moved or tensor.name in INPUTS]
    if plain:
        yield Part(CPU, MAPPED if runtime["use_mmap"] else CPU, WEIGHTS, _plain_bytes(plain, runtime))
    taken = [moved[tensor.name] for tensor in here if tensor.name in moved and _is_taken(tensor, header, where)]
    for buffer in dict.fromkeys(name for name, _ in taken):
        yield Part(CPU, buffer, WEIGHTS, sum(amount for name, amount in taken if name == buffer))
    for name, amount in amounts(layout(header, runtime), runtime, devices).items():
        yield from _parts_of(name, amount)


def _parts_of(name: str, amount: Amount) -> Iterator[Part]:
    if name != CPU and amount.weights:
        yield Part(name, name, WEIGHTS, amount.weights)
    if amount.cache:
        yield Part(name, name, CACHE, amount.cache)


def _plain_bytes(tensors: Sequence[Tensor], runtime: dict[str, Any]) -> int:
    """Bytes of the plain buffer: mapped, it reaches over everything that lies in the file between its tensors."""
    if not runtime["use_mmap"]:
        return sum(tensor.nbytes for tensor in tensors)
    return max(tensor.offset + tensor.nbytes for tensor in tensors) - min(tensor.offset for tensor in tensors)


def _place(tensor: Tensor, where: Sequence[str]) -> str:
    """The device of a tensor; embeddings that are the output matrix too lie on the CPU as well."""
    layer = layer_of(tensor)
    if layer is not None:
        return where[layer] if layer < len(where) - 1 else CPU
    return CPU if tensor.name in INPUTS else where[-1]


def _is_taken(tensor: Tensor, header: Header, where: Sequence[str]) -> bool:
    """Whether a tensor is multiplied on the CPU: embeddings are only where they are the output matrix of the CPU."""
    if tensor.name not in INPUTS:
        return True
    return tensor.name == EMBEDDINGS and where[-1] == CPU and all(other.name != OUTPUT for other in header.tensors)


def _may_move(tensor: Tensor, header: Header) -> bool:
    """Whether the loader asks the CPU's extra buffers for this tensor: a matrix, or one for each expert."""
    return len(tensor.shape) in (2, 3) and _is_taken(tensor, header, (CPU,))


def _named(buffer: str, names: Mapping[str, str]) -> tuple[str, str, str]:
    """Device, buffer and kind of a line in llama.cpp's log: `RPC0[127.0.0.1:50052] KV`, `CPU_Mapped model`.

    `names`: the devices' names by their descriptions; an RPC server's is its address.
    """
    place, _, last = buffer.rpartition(" ")
    place, kind = place.strip(), KINDS.get(last, last)
    address = place.partition("[")[2].removesuffix("]")
    if address in names:
        return names[address], names[address], kind
    device = max((name for name in names.values() if place.startswith(name)), key=len, default=CPU)
    return (CPU if place.endswith("_Host") else device), place, kind
