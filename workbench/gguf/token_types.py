"""The types of single tokens as the whole list that GGUF holds them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.errors import BadRequest
from workbench.gguf.header import Header

TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
# llama.h: enum llama_token_type
NUMBERS = {"normal": 1, "unknown": 2, "control": 3, "user_defined": 4, "unused": 5, "byte": 6}
NAMES = {number: name for name, number in NUMBERS.items()}


def type_names(header: Header, metadata: Mapping[str, Any], which: Iterable[int | str]) -> dict[int | str, str]:
    """The type that each of these tokens has, by name. Errors: `BadRequest` for no such token."""
    tokens, found = _list(header, metadata, TOKENS), token_types(header, metadata, {})
    return {one: NAMES.get(found[_index(tokens, one)], "normal") for one in which}


def token_types(header: Header, metadata: Mapping[str, Any], changes: Mapping[int | str, str]) -> list[int]:
    """Every token's type number, those in `changes` (an id, or a text as the file writes it -> a type's name) replaced.

    `metadata` are a setup's own, which go before the file's. Errors: `BadRequest` for no such token or type.
    """
    tokens = _list(header, metadata, TOKENS)
    found = _list(header, metadata, TYPES) or [NUMBERS["normal"]] * len(tokens)
    if changes and len(found) < len(tokens):
        raise BadRequest(
            f"{TYPES} has {len(found):,} items and there are {len(tokens):,} tokens",
            "accepted is an item for each token",
        )
    for which, kind in changes.items():
        if kind not in tuple(NUMBERS):
            raise BadRequest(f"the type of {which!r} is {kind!r}", f"accepted are {', '.join(NUMBERS)}")
        found[_index(tokens, which)] = NUMBERS[kind]
    return found


def _index(tokens: list[str], which: int | str) -> int:
    if isinstance(which, int) and 0 <= which < len(tokens):
        return which
    if isinstance(which, str) and which in tokens:
        return tokens.index(which)
    raise BadRequest(
        f"the vocabulary has no token {which!r}",
        f"accepted are ids from 0 to {len(tokens) - 1}, or a token's text as the file writes it",
    )


def _list(header: Header, metadata: Mapping[str, Any], key: str) -> list[Any]:
    """A copy of the setup's list, else of the file's; empty where there is none."""
    if isinstance(metadata.get(key), list):
        return list(metadata[key])
    return header.array(key) if header.has_array(key) and key not in metadata else []
