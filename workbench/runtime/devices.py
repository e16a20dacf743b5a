"""The devices that llama.cpp sees: what each one is, what memory it has, what it can do."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.errors import BadRequest, CannotRun, WorkbenchError
from workbench.runtime.dry_run import takes_batches
from workbench.runtime.library import ggml
from workbench.runtime.memory import available, size
from workbench.runtime.params import DEVICE_TYPES
from workbench.runtime.process import child_environment
from workbench.runtime.rpc import LOCAL, Servers, is_here, is_server
from workbench.setup import default_threads
from workbench.values import Value

TIMEOUT_S = 60.0
CAPABILITIES = ("async", "host_buffer", "buffer_from_host_ptr", "events", "mmap_support")
OFFLOADS = "offload_op"  # computes large batches with weights that lie on the CPU
MEASURED_NOWHERE = (0, 0)  # what a backend that cannot tell its memory reports


class _Props(ctypes.Structure):
    """ggml-backend.h: struct ggml_backend_dev_props, with its ggml_backend_dev_caps at the end."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("caps", ctypes.c_bool * 16),  # five today; what a later llama.cpp adds has room
    )


class Device(NamedTuple):
    """One device. Memory in bytes, None where the device does not tell.

    `here`: its memory is this machine's own (the processor, an integrated GPU, an RPC server on loopback).
    """

    name: str
    description: str
    type: str
    id: str | None
    memory_free: int | None
    memory_total: int | None
    capabilities: tuple[str, ...]
    here: bool

    @property
    def takes_layers(self) -> bool:
        """Whether layers can be put on it; the processor and its accelerators take what is left."""
        return self.type in ("GPU", "integrated GPU")


@dataclass(frozen=True)
class Devices(Value):
    """Every device in llama.cpp's order, the CPU included."""

    devices: tuple[Device, ...]

    def __iter__(self) -> Any:
        return iter(self.devices)

    def __len__(self) -> int:
        return len(self.devices)

    def __getitem__(self, name: str) -> Device:
        """The device of this name. Errors: `BadRequest`."""
        found = {device.name: device for device in self.devices}
        if name not in found:
            raise BadRequest(f"there is no device {name!r}", f"accepted are {', '.join(found)}")
        return found[name]

    def to_dict(self) -> dict[str, Any]:
        """`{devices: [{name, description, type, id, memory_free, memory_total, capabilities, here}]}`."""
        return {"devices": [device._asdict() | {"capabilities": list(device.capabilities)} for device in self.devices]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Devices:
        """The inverse of `to_dict`."""
        return cls(tuple(Device(**(item | {"capabilities": tuple(item["capabilities"])})) for item in data["devices"]))

    def _rows(self) -> list[dict[str, Any]]:
        return [device._asdict() | {"capabilities": ", ".join(device.capabilities)} for device in self.devices]

    def __repr__(self) -> str:
        told = [f"{d.name} ({d.type}, {free(d)})" for d in self.devices]
        return f"Devices({', '.join(told)})"


def free(device: Device) -> str:
    """`22.5 GiB free of 23.5 GiB`."""
    if device.memory_free is None or device.memory_total is None:
        return "memory not told"
    return f"{size(device.memory_free)} free of {size(device.memory_total)}"


def devices(*servers: str) -> Devices:
    """What llama.cpp sees on this machine, asked in a process of its own, and what the named RPC servers have.

    A server is "rpc:local" (one is started, to be asked, and ends again) or "HOST:PORT". Errors: `BadRequest`
    for another name, `CannotRun` where llama-cpp-python is missing, has no RPC, or a server does not answer.
    """
    for name in servers:
        if not is_server(name):
            raise BadRequest(f"{name!r} is no RPC server", f'accepted is "{LOCAL}" or "HOST:PORT"')
    command = [sys.executable, "-P", "-m", "workbench.runtime.devices", *servers]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            env=child_environment(),
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"llama.cpp did not list its devices within {TIMEOUT_S:g} s") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise CannotRun("llama.cpp could not list its devices", lines[-1] if lines else "it gave no reason")
    answer = json.loads(done.stdout)
    if "error" in answer:
        said = answer["error"]
        raise CannotRun(said["given"], said["accepted"], said["next_step"])
    return Devices.from_dict(answer)


def read_devices(library: Any) -> Devices:
    """In the model's process: every device with its facts; `library` is ggml."""
    library.ggml_backend_dev_get_props.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Props)]
    found = []
    for index in range(library.ggml_backend_dev_count()):
        props, handle = _Props(), library.ggml_backend_dev_get(index)
        library.ggml_backend_dev_get_props(handle, ctypes.byref(props))
        device = _device(props)
        found.append(device._replace(capabilities=device.capabilities + (OFFLOADS,) * takes_batches(handle)))
    return Devices(tuple(found))


def _device(props: _Props) -> Device:
    name, description = _text(props.name), _text(props.description)
    kind = DEVICE_TYPES.get(props.type, f"type {props.type}")
    here = kind in ("CPU", "integrated GPU", "accelerator") or (name.startswith("RPC") and is_here(description))
    memory = (props.memory_free, props.memory_total)
    unknown = memory == MEASURED_NOWHERE
    can = tuple(name for name, flag in zip(CAPABILITIES, props.caps, strict=False) if flag)
    id_ = _text(props.device_id) if props.device_id else None
    left = available() if here else None  # llama.cpp does not know a control group's limit
    return Device(
        name=name,
        description=description,
        type=kind,
        id=id_,
        memory_free=None if unknown else min(memory[0], left) if left is not None else memory[0],
        memory_total=None if unknown else memory[1],
        capabilities=can,
        here=here,
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")


def main(servers: Sequence[str]) -> int:
    """The child: the devices as JSON on stdout."""
    from workbench.runtime.library import bindings

    try:
        bindings().llama_backend_init()
        library = ggml()
        Servers(library).resolve(servers, n_threads=default_threads())
        answer = read_devices(library).to_dict()
    except WorkbenchError as error:
        answer = {"error": error.to_dict()}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
