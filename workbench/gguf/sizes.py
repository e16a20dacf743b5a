"""The numbers of a header that something is sized by, held against the tensors that are really there.

A header can say anything. What it says is shown as it is, but nothing is made as long, as wide or as large as it
says before it was seen here. What llama.cpp itself refuses in a sentence, such as a layer that misses a tensor, is left
to it; what would end it, or take memory without limit, is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.errors import BadFile, BadRequest, WorkbenchError
from workbench.gguf.header import Header, Tensor
from workbench.values import FrozenJSON, clip

# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-hparams.h#L11
MOST_LAYERS = 512
MOST_TOKENS = 1 << 24  # of a vocabulary whose tokens the file does not list; real ones have up to some 2^18
MOST_NUMBER = 2**32 - 1  # llama.cpp keeps the numbers of a model in 32 bits
LAYER = "blk."
EMBEDDINGS = "token_embd.weight"
NO_TOKENIZER = ("none", "no_vocab")


def whole(value: Any, *, least: int = 0) -> int | None:
    """A number of a header as one that can be reckoned with, None for any other kind, a negative or a larger one."""
    fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_NUMBER
    return value if fits else None


def layer_of(tensor: Tensor) -> int | None:
    """The layer that a tensor belongs to, None for those of the model's two ends."""
    number = tensor.name.removeprefix(LAYER).partition(".")[0]
    found = tensor.name.startswith(LAYER) and number.isdecimal() and len(number) < 10
    return int(number) if found and int(number) < MOST_LAYERS else None


def n_layer(header: Header) -> int:
    """Layers of the model: what the header says where that can be, else those that have tensors in this file."""
    there, said = _layers_there(header), header.n_layer or 0
    return said if there <= said <= _most_layers(header) else there


def _layers_there(header: Header) -> int:
    return max((layer + 1 for tensor in header.tensors if (layer := layer_of(tensor)) is not None), default=0)


def _most_layers(header: Header) -> int:
    """A layer has a tensor at least, but those of a file in several parts are elsewhere too."""
    is_part = (whole(header.get("split.count")) or 0) > 1
    return MOST_LAYERS if is_part else min(MOST_LAYERS, len(header.tensors))


def with_metadata(header: Header, given: Mapping[str, Any]) -> Header:
    """The header as it is with a setup's metadata in place of the file's own; None takes a key out."""
    own = header.architecture + "."
    changes = {key: value for key, value in given.items() if key.startswith(own)}
    if not changes:
        return header
    merged = {key: value for key, value in (header.metadata.value() | changes).items() if value is not None}
    return replace(header, metadata=FrozenJSON(merged))


def check_layers(header: Header, given: Mapping[str, Any]) -> None:
    """Nothing where there can be as many layers as is said; `given` is a setup's metadata, on top of the header's.

    Errors: `BadFile` for a number of the file, `BadRequest` for one of the setup's.
    """
    header = with_metadata(header, given)
    most, key = _most_layers(header), f"{header.architecture}.block_count"
    if header.get(key) is not None and not 0 < (header.n_layer or 0) <= most:
        there = _layers_there(header)
        has = f"tensors of {there:,} layers" if there else f"{len(header.tensors):,} tensors"
        raise _wrong(header, given, key, f"the file has {has}", f"{there}" if there else f"1 to {most}")


def check_tokens(header: Header, given: Mapping[str, Any]) -> None:
    """The same for the tokens, of which llama.cpp makes as many as a number says where the file lists none."""
    if (given.get("tokenizer.ggml.model") or header.tokenizer_model) not in NO_TOKENIZER:
        return
    header, key = with_metadata(header, given), f"{header.architecture}.vocab_size"
    rows = next((t.shape[1] for t in header.tensors if t.name == EMBEDDINGS and len(t.shape) == 2), None)
    most = MOST_TOKENS if rows is None else rows
    if header.get(key) is not None and (whole(header.get(key)) or 0) > most:
        there = "the file lists no tokens" if rows is None else f"{EMBEDDINGS} has {rows:,} rows"
        raise _wrong(header, given, key, there, f"{most} at most")


def _wrong(header: Header, given: Mapping[str, Any], key: str, there: str, accepted: str) -> WorkbenchError:
    """The error for a number that contradicts the tensors."""
    value = header.get(key)
    said = f"{value:,}" if type(value) is int else clip(repr(value), 40) if value is not None else "missing"
    if key in given:
        return BadRequest(
            f"metadata {key} is {said} and {there} in {header.path}",
            f"accepted is {accepted}",
            "correct it, or remove it from the setup's metadata",
        )
    return BadFile(
        f"{header.path} is damaged: {key} is {said} and {there}",
        f"accepted is {accepted}",
        "download or copy the file again",
    )
