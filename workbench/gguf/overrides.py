"""How a setup's metadata reaches llama.cpp: as an override while loading, or in an altered copy of the file.

llama.cpp takes overrides of scalars, texts below 128 bytes, of the type that it expects, for the keys
that it reads through `get_key`; it silently ignores them for the others (arrays, keys looked up by
`gguf_find_key`, absent keys that may be arrays). Only what is known to be honoured goes that way:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-model-loader.cpp#L425
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.gguf.header import TEMPLATE, Header
from workbench.values import clip

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
# Other keys of a known type, and lists with the type of their items.
TEXT_KEYS = ("general.architecture", "general.name")
ID_END = "_token_id"
TOKENS = TOKENIZER + "tokens"
LISTS: dict[str, type] = {
    TOKENS: str,
    TOKENIZER + "merges": str,
    TOKENIZER + "scores": float,
    TOKENIZER + "token_type": int,
}
BY_TOKEN = (TOKENIZER + "scores", TOKENIZER + "token_type")  # llama.cpp reads as many items as there are tokens
WORDS: dict[type, str] = {bool: "true or false", str: "a text", float: "a number", int: "a whole number"}
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
    check_overrides(header, metadata)
    live: dict[str, Any] = {}
    copied: dict[str, Any] = {}
    known = header.metadata.value()
    for key, value in metadata.items():
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


def check_overrides(header: Header | None, metadata: dict[str, Any]) -> None:
    """Refuse overrides that the file or llama.cpp could not mean, before anything reads them.

    A value that the file has already, and null (which removes a key), are accepted; else a key has the
    type that llama.cpp reads, or the file's own; a key that is new to both has its natural type.
    Errors: `BadRequest` naming the key, what was given and what is accepted.
    """
    types = header.types.value() if header is not None else {}
    for key, value in metadata.items():
        _check(key, value)
        if value is None or (header is not None and key in types and _same(header.get(key), value)):
            continue
        wanted = _known_type(header, key)
        if key.startswith(TOKENIZER) and key.endswith(ID_END):
            _check_id(key, value, n_tokens(header, metadata))
        elif wanted is int:
            _require(_is(int, value) and 0 <= value < 2**32, key, value, "a whole number from 0 to 4294967295, or null")
        elif wanted is not None:
            _require(_is(wanted, value), key, value, f"{WORDS[wanted]}, or null")
        elif key in LISTS:
            fits = isinstance(value, list) and all(_is(LISTS[key], item) for item in value)
            _require(fits, key, value, f"a list, each item {WORDS[LISTS[key]]}")
        elif key in types:
            _check_own_type(header, key, value, types[key])
        else:
            _require(_one_type(value), key, value, "a list whose items are of one type")
    _check_counts(header, metadata)


def _known_type(header: Header | None, key: str) -> type | None:
    """The type that llama.cpp or a template engine reads this key with; None: not known, or the file's own counts."""
    if key == TEMPLATE or key.startswith(TEMPLATE + ".") or key in TEXT_KEYS:
        return str
    if key.startswith(TOKENIZER):
        return TOKENIZER_KEYS.get(key.removeprefix(TOKENIZER))
    if header is None or not key.startswith(header.architecture + ".") or key in header.types.value():
        return None
    return MODEL_KEYS.get(key.removeprefix(header.architecture + "."))


def _check_id(key: str, value: Any, n_tokens: int | None) -> None:
    fits = _is(int, value) and 0 <= value < (n_tokens or 2**32)
    of = f"from 0 to {n_tokens - 1} (the vocabulary has {n_tokens:,} tokens)" if n_tokens else "from 0"
    _require(fits, key, value, f"a whole number {of}, or null")


def _check_own_type(header: Header | None, key: str, value: Any, kind: str) -> None:
    """Against the file's own GGUF type; a key of the architecture may be one value or a list, one a layer."""
    item_kind = kind.removeprefix("ARRAY[").rstrip("]")
    wanted = {"STRING": str, "BOOL": bool}.get(item_kind, float if item_kind in FLOATS else int)
    words = WORDS[wanted]
    low, high = -math.inf, math.inf
    if wanted is int:
        bits = int(item_kind.lstrip("UINT"))
        low, high = (0, 2**bits - 1) if item_kind.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        words = f"a whole number from {low} to {high}"
    is_list = kind.startswith("ARRAY")
    either = header is not None and key.startswith(header.architecture + ".")
    items = value if isinstance(value, list) else [value]
    fits = (either or isinstance(value, list) == is_list) and all(
        _is(wanted, item) and (wanted is not int or low <= item <= high) for item in items
    )
    accepted = f"a list, each item {words}" if is_list else words
    _require(fits, key, value, f"{accepted} (the file's own type is {kind}), or null")


def _check_counts(header: Header | None, metadata: dict[str, Any]) -> None:
    """Lists with an item for each token: llama.cpp reads them without asking for their length."""
    tokens = n_tokens(header, metadata)
    for key in BY_TOKEN:
        if tokens is None or not {key, TOKENS} & metadata.keys():
            continue
        n = _count(header, metadata, key)
        if n is not None and n < tokens:
            raise BadRequest(
                f"metadata {key} has {n:,} items and there are {tokens:,} tokens",
                "accepted is an item for each token",
                f"give {key} and {TOKENS} together",
            )


def n_tokens(header: Header | None, metadata: dict[str, Any]) -> int | None:
    """Tokens of the vocabulary with the overrides applied; None where neither file nor overrides list them."""
    return _count(header, metadata, TOKENS)


def _count(header: Header | None, metadata: dict[str, Any], key: str) -> int | None:
    """Items of a list, the override's before the file's; None where there is none."""
    if key in metadata:
        return len(metadata[key]) if isinstance(metadata[key], list) else None
    found = header.get(key) if header is not None else None
    return found["count"] if isinstance(found, dict) else len(found) if isinstance(found, list) else None


def _is(kind: type, value: Any) -> bool:
    """Whether a JSON value is of this kind; a whole number is a number, true is neither."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _one_type(value: Any) -> bool:
    if not isinstance(value, list):
        return True
    whole = all(_is(int, item) for item in value)
    if whole and value and not (min(value) >= 0 or max(value) < 2**63):
        return False
    return any(all(_is(kind, item) for item in value) for kind in WORDS)


def _require(fits: bool, key: str, value: Any, accepted: str) -> None:
    if not fits:
        raise BadRequest(
            f"metadata {key} is {clip(json.dumps(value), 80)}",
            f"accepted is {accepted}",
            "correct it, or remove it from the setup's metadata",
        )


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
    numbers = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, int | float)]
    if any(not -(2**63) <= number < 2**64 for number in numbers if isinstance(number, int)):
        raise BadRequest(f"metadata {key} is {clip(json.dumps(value), 80)}", "accepted are whole numbers of 64 bits")
    if not all(math.isfinite(number) for number in numbers):
        raise BadRequest(f"metadata {key} holds a number that is not finite", "accepted are finite numbers")
