"""Settings that this model, build or machine cannot do: said in one sentence before anything is loaded.

`refuse` and `refuse_devices` stop what llama.cpp would fail on; `notes` names what it would do otherwise than the
settings sound, and not say.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from workbench.errors import BadRequest, CannotRun
from workbench.gguf.header import Header
from workbench.gguf.sizes import whole
from workbench.runtime.devices import OFFLOADS, Device

PLAIN_TYPES = ("f32", "f16", "bf16")  # of a KV cache: one value by itself, no block with a scale
BLOCK = 32  # values that share a scale, in every other KV-cache type
SPLIT_BUFFERS = b"ggml_backend_split_buffer_type"  # what a backend has that can split rows


def refuse(header: Header, runtime: dict[str, Any]) -> None:
    """Errors: `CannotRun` for KV-cache types that this model's context cannot have.

    Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-context.cpp#L3840
    """
    flash = runtime["flash_attn"]
    if flash is False and runtime["type_v"] not in PLAIN_TYPES:
        raise CannotRun(
            f"runtime.type_v is {runtime['type_v']} and runtime.flash_attn is off: llama.cpp reads a quantised V "
            "cache in flash attention alone",
            f"without it, accepted are {', '.join(PLAIN_TYPES)}",
            'set runtime.flash_attn to true or "auto"',
        )
    if flash is False:
        return
    for key, what in (("type_k", "key"), ("type_v", "value")):
        width = _head_width(header, what)
        if runtime[key] not in PLAIN_TYPES and width and width % BLOCK:
            raise CannotRun(
                f"runtime.{key} is {runtime[key]}, whose block size is {BLOCK} values, and a head of this model is "
                f"{width} wide, which is no multiple of it",
                f"accepted are {', '.join(PLAIN_TYPES)}",
            )


def refuse_devices(registry: Any, runtime: dict[str, Any], devices: Sequence[Device]) -> None:
    """Errors: `BadRequest` for a main device or shares that do not fit the devices, `CannotRun` for a split in rows.

    `devices` share the layers, before split mode "none" picks one; `registry` is the library ggml.
    """
    names = ", ".join(device.name for device in devices)
    if runtime["split_mode"] == "none" and devices and runtime["main_gpu"] >= len(devices):
        raise BadRequest(
            f"runtime.main_gpu is {runtime['main_gpu']} and the devices are {names}",
            f"accepted are 0 to {len(devices) - 1}",
        )
    split = runtime["tensor_split"]
    if split is not None and devices and len(split) != len(devices):
        raise BadRequest(
            f"runtime.tensor_split has {len(split)} shares and the devices are {names}",
            f"accepted is one share for each, {len(devices)} in all",
        )
    if runtime["split_mode"] != "row":
        return
    for device in devices:
        if not _splits_rows(registry, device.name):
            raise CannotRun(
                f'runtime.split_mode is "row" and {device.name} cannot hold rows of a tensor',
                'accepted on this device are "layer" and "none"',
            )


def notes(library: Any, runtime: dict[str, Any], devices: Sequence[Device]) -> list[str]:
    """What llama.cpp does otherwise than these settings sound, one sentence each; `library` is its bindings."""
    said = []
    if not runtime["n_gpu_layers"] and runtime["op_offload"]:
        said += [
            f"n_gpu_layers 0 is not CPU only: {device.name} still computes large batches; op_offload false ends that"
            for device in devices
            if OFFLOADS in device.capabilities
        ]
    if runtime["n_gpu_layers"] and not devices:
        said.append(f"n_gpu_layers {runtime['n_gpu_layers']} moves nothing: there is no device beside the CPU")
    if runtime["tensor_split"] is not None and len(devices) < 2:
        said.append("tensor_split divides nothing: fewer than two devices take layers")
    if runtime["main_gpu"] and runtime["split_mode"] == "layer":
        said.append('main_gpu counts only in split_mode "none" and "row"')
    if runtime["n_ubatch"] > runtime["n_batch"]:
        said.append(f"n_ubatch {runtime['n_ubatch']} is cut to n_batch {runtime['n_batch']}")
    extrapolates = runtime["yarn_ext_factor"] or (
        runtime["yarn_ext_factor"] is None and runtime["rope_scaling"] == "yarn"
    )
    if runtime["yarn_attn_factor"] is not None and extrapolates:
        said.append("yarn_attn_factor changes nothing: llama.cpp reckons it, yarn_ext_factor not being 0")
    if runtime["use_mmap"] and not library.llama_supports_mmap():
        said.append("use_mmap does nothing: this system maps no files")
    if runtime["use_mlock"] and not library.llama_supports_mlock():
        said.append("use_mlock does nothing: this system locks no memory")
    return said


def unlocked(warnings: Sequence[str]) -> list[str]:
    """What of `use_mlock` came to nothing while the model was loaded, by llama.cpp's own warnings."""
    found = [line.removeprefix("warning: ") for line in warnings if "failed to mlock" in line]
    return [f"use_mlock does not hold: {found[0]}; raise the limit (ulimit -l)"] if found else []


def _head_width(header: Header, what: str) -> int:
    """Values of a head's key or value, 0 where the file does not say."""
    own = whole(header.own(f"attention.{what}_length"), least=1)
    width, heads = whole(header.own("embedding_length")), whole(header.own("attention.head_count"))
    return own or (width // heads if width and heads else 0)


def _splits_rows(registry: Any, name: str) -> bool:
    registry.ggml_backend_dev_by_name.restype = ctypes.c_void_p
    registry.ggml_backend_dev_by_name.argtypes = [ctypes.c_char_p]
    registry.ggml_backend_dev_backend_reg.restype = ctypes.c_void_p
    registry.ggml_backend_dev_backend_reg.argtypes = [ctypes.c_void_p]
    registry.ggml_backend_reg_get_proc_address.restype = ctypes.c_void_p
    registry.ggml_backend_reg_get_proc_address.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    backend = registry.ggml_backend_dev_backend_reg(registry.ggml_backend_dev_by_name(name.encode()))
    return bool(registry.ggml_backend_reg_get_proc_address(backend, SPLIT_BUFFERS))
