"""How a setup's metadata reaches llama.cpp: as an override while loading, or in an altered copy of the file.

llama.cpp takes overrides of scalars, texts below 128 bytes, of the type that it expects, for the keys
that it reads through `get_key`; it silently ignores them for the others (arrays, keys looked up by
`gguf_find_key`, absent keys that may be arrays). Only what is known to be honoured goes that way:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-model-loader.cpp#L425
"""

from __future__ import annotations

from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.gguf.header import TEMPLATE, Header

OVERRIDE_BYTES = 128  # llama.h: llama_model_kv_override, key and text with their closing NUL
# Tokenizer keys that are read through get_key even where the file lacks them, with the expected type.
TOKENIZER = "tokenizer.ggml."
TOKENIZER_KEYS: dict[str, type] = {
    "model": str,
    "pre": str,
    "add_bos_token": bool,
    "add_eos_token": bool,
    "add_sep_token": bool,
    "add_space_prefix": bool,
    "remove_extra_whitespaces": bool,
    "bos_token_id": int,
    "eos_token_id": int,
    "eot_token_id": int,
    "eom_token_id": int,
    "unknown_token_id": int,
    "seperator_token_id": int,
    "padding_token_id": int,
    "mask_token_id": int,
}
# Keys of an architecture that are read through get_key even where the file lacks them.
MODEL_KEYS: dict[str, type] = {
    "context_length": int,
    "rope.freq_base": float,
    "rope.scaling.type": str,
    "rope.scaling.factor": float,
    "rope.scaling.original_context_length": int,
}
FLOATS = ("FLOAT32", "FLOAT64")
ALIGNMENT = "general.alignment"


class Overrides(NamedTuple):
    """`live` go to llama.cpp while it loads; `copied` need an altered copy (None: the key is removed)."""

    live: dict[str, Any]
    copied: dict[str, Any]


def split_overrides(header: Header, metadata: dict[str, Any]) -> Overrides:
    """Each override's way; those that say what the file says already, and chat templates, have none.

    Chat templates are for the template engines: loading and running do not read them.
    Errors: `BadRequest` for a value that GGUF or llama.cpp cannot hold.
    """
    live: dict[str, Any] = {}
    copied: dict[str, Any] = {}
    known = header.metadata.value()
    for key, value in metadata.items():
        _check(key, value)
        if key == TEMPLATE or key.startswith(TEMPLATE + "."):
            continue
        if (value is None and key not in known) or (key in known and _same(known[key], value)):
            continue
        expected = _expected(header, key)
        as_expected = float(value) if expected is float and type(value) is int else value
        if expected is not None and type(as_expected) is expected and _fits(key, as_expected):
            live[key] = as_expected
        else:
            copied[key] = value
    return Overrides(live, copied)


def _expected(header: Header, key: str) -> type | None:
    """The type of an override that llama.cpp honours for this key, None where it is not known to."""
    if key.startswith(TOKENIZER):
        return TOKENIZER_KEYS.get(key.removeprefix(TOKENIZER))
    own = header.architecture + "."
    if not key.startswith(own):
        return str if key == "general.name" else None
    found = header.types.value().get(key)
    if found is None:
        return MODEL_KEYS.get(key.removeprefix(own))
    if found.startswith("ARRAY"):
        return None
    return {"STRING": str, "BOOL": bool}.get(found, float if found in FLOATS else int)


def _fits(key: str, value: Any) -> bool:
    """Whether key and value fit llama.cpp's fixed buffers and number types."""
    if len(key.encode()) >= OVERRIDE_BYTES:
        return False
    if isinstance(value, str):
        return len(value.encode()) < OVERRIDE_BYTES
    return not isinstance(value, int) or 0 <= int(value) < 2**32


def _same(known: Any, value: Any) -> bool:
    return type(known) is type(value) and not isinstance(value, list | dict) and known == value


def _check(key: str, value: Any) -> None:
    texts = [item for item in (key, *(value if isinstance(value, list) else [value])) if isinstance(item, str)]
    for text in texts:
        if "\0" in text:
            raise BadRequest(f"metadata {key} holds a NUL character", "llama.cpp's texts end at a NUL", "remove it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRequest(f"metadata {key} holds a lone surrogate", "accepted is valid Unicode") from error
    if key == ALIGNMENT:
        raise BadRequest(
            "metadata general.alignment cannot be replaced", "it says where this file's tensors lie", "remove it"
        )
    if not key or len(key.encode()) > 65_535:
        raise BadRequest(f"a metadata key has {len(key.encode()):,} bytes", "accepted are 1 to 65,535")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise BadRequest(f"metadata {key} is {value}", "accepted are whole numbers of 64 bits")
