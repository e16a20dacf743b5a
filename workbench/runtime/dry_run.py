"""llama.cpp's own rehearsal of a load: the graph is planned and its buffers are counted, nothing is allocated.

What only llama.cpp can know is asked of it here: how large its compute buffers get, and which weights the CPU
backend would keep in a layout of its own (repacked), by the same questions that the loader asks.

Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-model-loader.cpp#L928
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.errors import CannotRun
from workbench.gguf.library import shared_library
from workbench.runtime import params

if TYPE_CHECKING:
    from workbench.runtime.session import Session

LOAD_MODE_NONE = 0  # llama.h: a rehearsal maps no file
COMPUTED = ("compute", "output")  # the last word of a buffer's name in the log
EXTRA_BUFFERS = b"ggml_backend_dev_get_extra_bufts"
BATCH = 512  # columns of the loader's test multiplication
F32, I32, KNOWN_TYPES = 0, 26, 40  # ggml.h: enum ggml_type, and how many every accepted llama.cpp has
POINTER, SIZE, I64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64


class Weight(NamedTuple):
    """A tensor as the loader asks about it: its type's name, such as Q4_0, and its shape (fastest first)."""

    type: str
    shape: tuple[int, ...]


class _Tensor(ctypes.Structure):
    """The start of ggml.h's struct ggml_tensor."""

    _fields_ = (("type", ctypes.c_int), ("buffer", POINTER))


class _Memory(ctypes.Structure):
    """ggml.h: struct ggml_init_params."""

    _fields_ = (("size", SIZE), ("buffer", POINTER), ("no_alloc", ctypes.c_bool))


def computed_mib(session: Session, path: str, runtime: dict[str, Any], overrides: dict[str, Any]) -> Any:
    """MiB of the compute and output buffers by llama.cpp's name; None where this build cannot rehearse.

    Errors: `CannotRun` with llama.cpp's reason where it would make no such model or context.
    """
    library, log, keep = session.library, session.log, list[Any]()
    given = params.model_params(
        library, runtime, devices=session.named, overrides=overrides, vocab_only=False, keep=keep
    )
    if not hasattr(given, "no_alloc") or not hasattr(given, "load_mode"):
        return None
    given.no_alloc, given.load_mode = True, LOAD_MODE_NONE
    really, log.buffers_mib = log.buffers_mib, {}
    log.errors.clear()
    model = library.llama_model_load_from_file(path.encode("utf-8", "surrogateescape"), given)
    try:
        trained = params.trained_n_ctx(library, model) if model else 0
        wanted = params.context_params(library, runtime, n_ctx_train=trained)
        context = library.llama_init_from_model(model, wanted) if model else None
        if not context:
            raise CannotRun(f"llama.cpp would not load {path}: {log.last_error() or 'it gave no reason'}")
        library.llama_free(context)
        return {name: mib for name, mib in log.buffers_mib.items() if name.split()[-1] in COMPUTED}
    finally:
        if model:
            library.llama_model_free(model)
        log.buffers_mib = really


def own_layout(registry: Any, weights: Sequence[Weight]) -> list[tuple[str, int] | None]:
    """For each weight the extra buffer of the CPU backend that takes it and the bytes there; None: the plain one."""
    ggml = _declared()
    extra = list(_extra_buffers(registry))
    cpu = registry.ggml_backend_dev_by_type(params.DEVICE_CPU)
    found: dict[Weight, tuple[str, int] | None] = {}
    for weight in weights:
        if weight.type not in _type_numbers(ggml):
            found[weight] = None  # a type of a later llama.cpp
        elif weight not in found:
            found[weight] = next((taken for buffer in extra if (taken := _taken(ggml, cpu, buffer, weight))), None)
    return [found[weight] for weight in weights]


def takes_batches(device: int) -> bool:
    """Whether a device computes a large batch though its weights lie on the CPU (unless op_offload is off).

    Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-backend.cpp#L972
    """
    ggml = _declared()
    context = ggml.ggml_init(_Memory(1 << 16, None, True))
    weight = ggml.ggml_new_tensor_2d(context, F32, BATCH, BATCH)
    product = ggml.ggml_mul_mat(context, weight, ggml.ggml_new_tensor_2d(context, F32, BATCH, BATCH))
    taken = bool(ggml.ggml_backend_dev_offload_op(device, product))
    ggml.ggml_free(context)
    return taken


def _taken(ggml: Any, cpu: int, buffer: int, weight: Weight) -> tuple[str, int] | None:
    """The buffer's name and the weight's bytes in it, None where it would not take it for a multiplication."""
    context = ggml.ggml_init(_Memory(1 << 16, None, True))
    width = weight.shape[0]
    try:
        shape = (I64 * 4)(*weight.shape)
        tensor = ggml.ggml_new_tensor(context, _type_numbers(ggml)[weight.type], len(weight.shape), shape)
        if len(weight.shape) == 3:  # experts: each token goes to some of them
            columns = ggml.ggml_new_tensor_3d(context, F32, width, 1, BATCH)
            chosen = ggml.ggml_new_tensor_2d(context, I32, 1, BATCH)
            product = ggml.ggml_mul_mat_id(context, tensor, columns, chosen)
        else:
            columns = ggml.ggml_new_tensor_2d(context, F32, width, BATCH)
            product = ggml.ggml_mul_mat(context, tensor, columns)
        empty = ggml.ggml_backend_buft_alloc_buffer(buffer, 0)
        ctypes.cast(tensor, ctypes.POINTER(_Tensor)).contents.buffer = empty
        taken = ggml.ggml_backend_dev_supports_op(cpu, product)
        ggml.ggml_backend_buffer_free(empty)
        if not taken:
            return None
        return ggml.ggml_backend_buft_name(buffer).decode(), ggml.ggml_backend_buft_get_alloc_size(buffer, tensor)
    finally:
        ggml.ggml_free(context)


@functools.cache
def _type_numbers(ggml: Any) -> dict[str, int]:
    return {ggml.ggml_type_name(number).decode().upper(): number for number in range(KNOWN_TYPES)}


def _extra_buffers(registry: Any) -> Iterator[int]:
    """The CPU backend's buffer types beside the plain one, in the loader's order."""
    registry.ggml_backend_dev_by_type.restype = POINTER
    registry.ggml_backend_dev_backend_reg.restype = POINTER
    registry.ggml_backend_dev_backend_reg.argtypes = [POINTER]
    registry.ggml_backend_reg_get_proc_address.restype = POINTER
    registry.ggml_backend_reg_get_proc_address.argtypes = [POINTER, ctypes.c_char_p]
    cpu = registry.ggml_backend_dev_by_type(params.DEVICE_CPU)
    asked = registry.ggml_backend_reg_get_proc_address(registry.ggml_backend_dev_backend_reg(cpu), EXTRA_BUFFERS)
    if not asked:
        return
    listed = ctypes.CFUNCTYPE(ctypes.POINTER(POINTER), POINTER)(asked)(cpu)
    at = 0
    while listed and listed[at]:
        yield listed[at]
        at += 1


@functools.cache
def _declared() -> ctypes.CDLL:
    """The library ggml-base with the functions of the loader's test declared."""
    library = ctypes.CDLL(str(shared_library("ggml-base")))
    for name, result, arguments in (
        ("ggml_type_name", ctypes.c_char_p, [ctypes.c_int]),
        ("ggml_init", POINTER, [_Memory]),
        ("ggml_free", None, [POINTER]),
        ("ggml_new_tensor", POINTER, [POINTER, ctypes.c_int, ctypes.c_int, ctypes.POINTER(I64)]),
        ("ggml_new_tensor_2d", POINTER, [POINTER, ctypes.c_int, I64, I64]),
        ("ggml_new_tensor_3d", POINTER, [POINTER, ctypes.c_int, I64, I64, I64]),
        ("ggml_mul_mat", POINTER, [POINTER, POINTER, POINTER]),
        ("ggml_mul_mat_id", POINTER, [POINTER, POINTER, POINTER, POINTER]),
        ("ggml_backend_buft_alloc_buffer", POINTER, [POINTER, SIZE]),
        ("ggml_backend_buffer_free", None, [POINTER]),
        ("ggml_backend_dev_supports_op", ctypes.c_bool, [POINTER, POINTER]),
        ("ggml_backend_dev_offload_op", ctypes.c_bool, [POINTER, POINTER]),
        ("ggml_backend_buft_name", ctypes.c_char_p, [POINTER]),
        ("ggml_backend_buft_get_alloc_size", SIZE, [POINTER, POINTER]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
