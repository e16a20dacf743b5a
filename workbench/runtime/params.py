"""The setup's runtime section as llama.cpp's model and context parameters.

llama-cpp-python renames fields between releases; the one place that knows is here.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.setup import DEFAULT_N_CTX

# ggml.h: enum ggml_type
GGML_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "iq4_nl": 20,
    "bf16": 30,
}
TYPE_NAMES = {number: name for name, number in GGML_TYPES.items()}
FLASH_ATTN = {"auto": -1, False: 0, True: 1}  # enum llama_flash_attn_type
FLASH_ATTN_NAMES = {-1: "auto", 0: False, 1: True}
YARN = ("yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_orig_ctx")
DEVICE_CPU = 0  # ggml-backend.h: enum ggml_backend_dev_type
DEVICE_TYPES = {0: "CPU", 1: "GPU", 2: "integrated GPU", 3: "accelerator"}
SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}  # enum llama_split_mode
ROPE_SCALINGS = {"none": 0, "linear": 1, "yarn": 2}  # enum llama_rope_scaling_type
LOAD_MODES = {(False, False): 0, (True, False): 1, (False, True): 2, (True, True): 3}  # enum llama_load_mode


class Device(NamedTuple):
    """A device that this build of llama.cpp sees; `handle` is valid in this process only."""

    name: str
    description: str
    type: str
    handle: int


def list_devices(ggml: Any) -> list[Device]:
    """Every device, the CPU included, in llama.cpp's order."""
    devices = []
    for index in range(ggml.ggml_backend_dev_count()):
        handle = ggml.ggml_backend_dev_get(index)
        kind = ggml.ggml_backend_dev_type(handle)
        devices.append(
            Device(
                ggml.ggml_backend_dev_name(handle).decode(),
                ggml.ggml_backend_dev_description(handle).decode("utf-8", "backslashreplace"),
                DEVICE_TYPES.get(kind, f"type {kind}"),
                handle,
            )
        )
    return devices


def chosen_devices(names: list[str], present: list[Device]) -> list[Device]:
    """The devices to offload to; "CPU" adds none. Errors: `BadRequest` for a name that is not present."""
    by_name = {device.name: device for device in present}
    for name in names:
        if name not in by_name:
            raise BadRequest(
                f"runtime.devices names {name!r}",
                f"this build and machine have {', '.join(by_name) or 'no device'}",
                "use one of these names, or leave devices out for all of them",
            )
    return [by_name[name] for name in names if by_name[name].type != "CPU"]


def model_params(
    library: Any,
    runtime: dict[str, Any],
    *,
    devices: list[Device] | None,
    overrides: dict[str, Any],
    vocab_only: bool,
    keep: list[Any],
) -> Any:
    """`llama_model_params` for these settings; what C points into is appended to `keep`."""
    params = library.llama_model_default_params()
    params.n_gpu_layers = runtime["n_gpu_layers"]
    params.use_extra_bufts = runtime["use_extra_bufts"]
    params.split_mode, params.main_gpu = SPLIT_MODES[runtime["split_mode"]], runtime["main_gpu"]
    if runtime["tensor_split"] is not None:
        shares = (ctypes.c_float * library.llama_max_devices())(*runtime["tensor_split"])
        keep.append(shares)
        params.tensor_split = shares
    params.vocab_only = vocab_only
    mmap, mlock = runtime["use_mmap"], runtime["use_mlock"]
    if hasattr(params, "load_mode"):
        params.load_mode = LOAD_MODES[mmap, mlock]
    else:  # llama-cpp-python before 0.3.35
        params.use_mmap, params.use_mlock = mmap, mlock
    if devices is not None:
        handles = (ctypes.c_void_p * (len(devices) + 1))(*[device.handle for device in devices], None)
        keep.append(handles)
        params.devices = ctypes.cast(handles, ctypes.c_void_p)
    if overrides:
        table = kv_overrides(library, overrides)
        keep.append(table)
        params.kv_overrides = table
    return params


def kv_overrides(library: Any, overrides: dict[str, Any]) -> Any:
    """An array of `llama_model_kv_override`, closed by an empty key."""
    table = (library.llama_model_kv_override * (len(overrides) + 1))()
    for entry, (key, value) in zip(table, overrides.items(), strict=False):
        entry.key = key.encode()
        if isinstance(value, bool):
            entry.tag, entry.value.val_bool = library.LLAMA_KV_OVERRIDE_TYPE_BOOL, value
        elif isinstance(value, int):
            entry.tag, entry.value.val_i64 = library.LLAMA_KV_OVERRIDE_TYPE_INT, value
        elif isinstance(value, float):
            entry.tag, entry.value.val_f64 = library.LLAMA_KV_OVERRIDE_TYPE_FLOAT, value
        else:
            entry.tag, entry.value.val_str = library.LLAMA_KV_OVERRIDE_TYPE_STR, value.encode()
    return table


def context_params(library: Any, runtime: dict[str, Any], *, n_ctx_train: int) -> Any:
    """`llama_context_params` for these settings. n_ctx None is the trained context, at most 4096 tokens."""
    params = library.llama_context_default_params()
    params.n_ctx = wanted_n_ctx(runtime["n_ctx"], n_ctx_train)
    params.n_batch = runtime["n_batch"]
    params.n_ubatch = min(runtime["n_ubatch"], runtime["n_batch"])
    params.n_threads = params.n_threads_batch = runtime["n_threads"]
    params.type_k = GGML_TYPES[runtime["type_k"]]
    params.type_v = GGML_TYPES[runtime["type_v"]]
    params.offload_kqv = runtime["offload_kqv"]
    params.op_offload = runtime["op_offload"]
    if hasattr(params, "flash_attn_type"):
        params.flash_attn_type = FLASH_ATTN[runtime["flash_attn"]]
    else:  # llama-cpp-python before 0.3.17 has no "auto"
        params.flash_attn = runtime["flash_attn"] is True
    params.rope_freq_base = runtime["rope_freq_base"] or 0.0  # 0: as the file says
    params.rope_freq_scale = runtime["rope_freq_scale"] or 0.0
    if runtime["rope_scaling"] is not None:
        params.rope_scaling_type = ROPE_SCALINGS[runtime["rope_scaling"]]
    for name in YARN:
        if runtime[name] is not None:
            setattr(params, name, runtime[name])
    return params


def wanted_n_ctx(n_ctx: int | None, n_ctx_train: int) -> int:
    """The context length to ask for: what is set, else the trained one, at most `DEFAULT_N_CTX`."""
    return n_ctx or min(DEFAULT_N_CTX, n_ctx_train) or DEFAULT_N_CTX


def trained_n_ctx(library: Any, model: Any) -> int:
    """Tokens of context that the model was trained with: 32 bits without a sign, which llama.cpp gives with one."""
    return int(library.llama_model_n_ctx_train(model)) % 2**32


def as_facts(params: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Some fields of a parameter struct as plain values, to show what llama.cpp was really given."""
    return {name: getattr(params, name) for name in names if hasattr(params, name)}
