"""What llama.cpp really uses, read back from it."""

from __future__ import annotations

import ctypes
from typing import Any

from workbench.cpu import of_build
from workbench.runtime import params
from workbench.runtime.session import Session

CONTEXT_FIELDS = (
    "rope_freq_base",
    "rope_freq_scale",
    "rope_scaling_type",
    *params.YARN,
    "offload_kqv",
    "op_offload",
)
MODEL_FIELDS = (
    "n_gpu_layers",
    "split_mode",
    "main_gpu",
    "use_extra_bufts",
    "load_mode",
    "use_mmap",
    "use_mlock",
    "vocab_only",
)


def facts(session: Session) -> dict[str, Any]:
    """Plain values about the library, the model and the context, as far as they are there."""
    library = session.library
    info = _text(library.llama_print_system_info())
    build = of_build(info)
    found: dict[str, Any] = {
        "library": _text(library.llama_version()) if hasattr(library, "llama_version") else None,
        "system_info": info,
        "cpu_features": list(build.names) or str(build),
        "available_devices": [device._asdict() for device in params.list_devices(session.ggml)],
    }
    for device in found["available_devices"]:
        del device["handle"]
    if session.model is not None:
        found |= _model_facts(session)
        found |= {"devices": [device.name for device in session.devices], "notes": session.notes}
    if session.context is not None:
        found |= _context_facts(session)
    return found


def _model_facts(session: Session) -> dict[str, Any]:
    library, model = session.library, session.model
    buffer = ctypes.create_string_buffer(256)
    library.llama_model_desc(model, buffer, len(buffer))
    return {
        "description": _text(buffer.value),
        "n_vocab": session.vocabulary.n_vocab if session.vocabulary else 0,
        "n_ctx_train": params.trained_n_ctx(library, model),
        "n_embd": library.llama_model_n_embd(model),
        "n_layer": library.llama_model_n_layer(model),
        "weights_bytes": library.llama_model_size(model),
        "n_params": library.llama_model_n_params(model),
        "model_params": params.as_facts(session.model_params, MODEL_FIELDS),
    }


def _context_facts(session: Session) -> dict[str, Any]:
    library, context, given = session.library, session.context, session.context_params
    flash = getattr(given, "flash_attn_type", None)
    return {
        "n_ctx": library.llama_n_ctx(context),
        "n_ctx_asked": given.n_ctx,
        "n_batch": library.llama_n_batch(context),
        "n_ubatch": library.llama_n_ubatch(context),
        "n_threads": library.llama_n_threads(context),
        "n_threads_batch": library.llama_n_threads_batch(context),
        "type_k": params.TYPE_NAMES.get(given.type_k, given.type_k),
        "type_v": params.TYPE_NAMES.get(given.type_v, given.type_v),
        "flash_attn": params.FLASH_ATTN_NAMES.get(flash, flash) if flash is not None else bool(given.flash_attn),
        "buffers_mib": dict(session.log.buffers_mib),
        "context_params": params.as_facts(given, CONTEXT_FIELDS),
    }


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")
