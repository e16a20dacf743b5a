"""All tokens of a vocabulary at once, and ids back to text."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.errors import BadRequest
from workbench.runtime.vocabulary import ATTRIBUTES
from workbench.stages import TOKEN_TYPES

LONGEST = 1 << 16  # bytes of a token


class Entries(NamedTuple):
    """Every token by id, v of them.

    `texts`: as the file writes it ("Ġhello"); `pieces`: as it is printed (" hello"); `types`: (v,) uint8, index into
    `TOKEN_TYPES` of what llama.cpp takes it for; `ends`: (v,) bool, whether it ends an answer.
    """

    texts: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    types: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.bool_]


def read_entries(library: Any, model: Any) -> Entries:
    """The entries of a loaded model's vocabulary, weights or not."""
    vocab = library.llama_model_get_vocab(model)
    n = library.llama_vocab_n_tokens(vocab)
    buffer = ctypes.create_string_buffer(LONGEST)
    show, text, attribute, ends = (
        library.llama_token_to_piece,
        library.llama_vocab_get_text,
        library.llama_vocab_get_attr,
        library.llama_vocab_is_eog,
    )
    sizes = (show(vocab, i, buffer, LONGEST, 0, True) for i in range(n))
    pieces = tuple(ctypes.string_at(buffer, max(0, size)) for size in sizes)
    attributes = np.fromiter((attribute(vocab, i) for i in range(n)), np.int32, n)
    types = np.zeros(n, np.uint8)
    for bit, name in reversed(ATTRIBUTES):
        types[attributes & bit != 0] = TOKEN_TYPES.index(name)
    is_end = np.fromiter((ends(vocab, i) for i in range(n)), np.bool_, n)
    return Entries(tuple(text(vocab, i) for i in range(n)), pieces, types, is_end)


def read_ends(library: Any, model: Any) -> list[int]:
    """The ids that llama.cpp takes for the end of an answer."""
    vocab = library.llama_model_get_vocab(model)
    is_end = library.llama_vocab_is_eog
    return [i for i in range(library.llama_vocab_n_tokens(vocab)) if is_end(vocab, i)]


def detokenize(library: Any, model: Any, ids: list[int], *, specials: bool) -> bytes:
    """The bytes that llama.cpp makes of `ids`; `specials`: special tokens as text, else left out.

    Errors: `BadRequest` for an unknown id.
    """
    vocab, n = library.llama_model_get_vocab(model), len(ids)
    last = library.llama_vocab_n_tokens(vocab) - 1
    if ids and not (min(ids) >= 0 and max(ids) <= last):
        raise BadRequest(f"token ids from {min(ids)} to {max(ids)}", f"the vocabulary has ids 0 to {last}")
    numbers = (ctypes.c_int32 * n)(*ids)
    room = 8 * n + 64
    while True:
        buffer = ctypes.create_string_buffer(room)
        size = library.llama_detokenize(vocab, numbers, n, buffer, room, False, specials)
        if size >= 0:
            return buffer.raw[:size]
        room = -size
