"""llama.cpp's vocabulary: text to ids, ids to pieces and types, and who adds BOS and EOS."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import BadRequest, CannotRun
from workbench.runtime.align import Piece, align

# llama.h: enum llama_token_attr, the most telling first
ATTRIBUTES = ((1 << 0, "unknown"), (1 << 3, "control"), (1 << 4, "user_defined"), (1 << 1, "unused"), (1 << 5, "byte"))
LSTRIP, RSTRIP = 1 << 7, 1 << 8
VOCAB_NONE, VOCAB_SPM, VOCAB_BPE, VOCAB_WPM, VOCAB_UGM = range(5)  # llama.h: enum llama_vocab_type
VOCAB_NAMES = ("none", "SPM", "BPE", "WPM", "UGM", "RWKV", "PLaMo-2", "test")
MAX_TEXT = 2**31 - 1  # bytes; llama_tokenize counts in int32
SOURCE = "https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/chat.cpp#L958"


@dataclass
class Tokenized:
    """What `Vocabulary.tokenize` found; arrays as in `stages.Tokens`."""

    ids: npt.NDArray[np.int32]
    pieces: list[bytes]
    types: list[str]
    byte_spans: npt.NDArray[np.int32]
    spans: npt.NDArray[np.int32]
    added: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Vocabulary:
    """The vocabulary of a loaded model, weights or not."""

    def __init__(self, library: Any, model: Any) -> None:
        self._library = library
        self._vocab = library.llama_model_get_vocab(model)
        self.n_vocab: int = library.llama_vocab_n_tokens(self._vocab)
        self.kind: int = library.llama_vocab_type(self._vocab)
        self._pieces: dict[int, Piece] = {}
        self._has_prefix: bool | None = None

    def tokenize(self, text: str, *, add_special: bool | str, parse_special: bool) -> Tokenized:
        """Ids, pieces, types and spans of `text`. Errors: `BadRequest` for a text that is no Unicode."""
        raw = encoded(text)
        self.require_tokens()
        notes: list[str] = []
        first, last = self._template_wrote(raw, notes) if add_special == "auto" else (b"", b"")
        body = raw[len(first) : len(raw) - len(last)]
        ids = self._ids(body, bool(add_special), parse_special)
        before, after = self._added_ends(ids, body, parse_special) if add_special else (0, 0)
        pieces = self._pieces_of(ids)
        aligned = align(
            pieces[before : len(ids) - after],
            body,
            folds=self.kind in (VOCAB_WPM, VOCAB_UGM),
            space_prefix=self._space_prefix(),
        )
        spans = [(0, len(first))] * before
        spans += [(s + len(first), e + len(first)) if s >= 0 else (-1, -1) for s, e in aligned.spans]
        spans += [(len(raw) - len(last), len(raw))] * after
        byte_spans = np.array(spans, np.int32).reshape(-1, 2)
        added = [] if first else [(i, self._who("bos", ids[i])) for i in range(before)]
        added += [] if last else [(i, self._who("eos", ids[i])) for i in range(len(ids) - after, len(ids))]
        return Tokenized(
            ids=np.array(ids, np.int32),
            pieces=[piece.data for piece in pieces],
            types=[piece.type for piece in pieces],
            byte_spans=byte_spans,
            spans=characters(byte_spans, raw),
            added=added,
            notes=notes + aligned.notes,
        )

    def piece(self, token: int) -> Piece:
        """A token as llama.cpp prints it, special ones included, with its type. Errors: `BadRequest` for no such id."""
        if token not in self._pieces:
            self.require_tokens()
            if not 0 <= token < self.n_vocab:
                raise BadRequest(f"token id {token}", f"the vocabulary has ids 0 to {self.n_vocab - 1}")
            attributes = int(self._library.llama_vocab_get_attr(self._vocab, token))
            kind = next((name for bit, name in ATTRIBUTES if attributes & bit), "normal")
            self._pieces[token] = Piece(
                self.print_token(token, special=True),
                kind,
                eats_left=bool(attributes & LSTRIP),
                eats_right=bool(attributes & RSTRIP),
            )
        return self._pieces[token]

    def _pieces_of(self, ids: list[int]) -> list[Piece]:
        known = self._pieces
        return [known.get(token) or self.piece(token) for token in ids]

    def print_token(self, token: int, *, special: bool) -> bytes:
        """A token's bytes; control tokens are empty unless `special`."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = self._library.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def ends_generation(self, token: int) -> bool:
        """Whether llama.cpp takes this token as the end of an answer."""
        return bool(self._library.llama_vocab_is_eog(self._vocab, token))

    def suppressed(self) -> list[int]:
        """Ids that the file says must never be sampled."""
        if not hasattr(self._library, "llama_vocab_get_suppress_tokens"):
            return []
        count = ctypes.c_int32(0)
        ids = self._library.llama_vocab_get_suppress_tokens(self._vocab, ctypes.byref(count))
        return [int(ids[i]) for i in range(count.value)]

    def require_tokens(self) -> None:
        """Errors: `CannotRun` for a file without a tokenizer, of whose tokens llama.cpp aborts when it is asked."""
        if self.kind == VOCAB_NONE:
            raise CannotRun(
                "this file has no tokenizer (tokenizer.ggml.model is none)",
                "its tokens are not known",
                "use a GGUF file that holds one",
            )

    def _ids(self, raw: bytes, add_special: bool, parse_special: bool) -> list[int]:
        room = len(raw) + 16
        while True:
            ids = (ctypes.c_int32 * room)()
            n = self._library.llama_tokenize(self._vocab, raw, len(raw), ids, room, add_special, parse_special)
            if n >= 0:
                return list(ids[:n])
            if n == -(2**31):
                raise BadRequest(f"the text of {len(raw):,} bytes makes more tokens than llama.cpp counts")
            room = -n

    def _template_wrote(self, raw: bytes, notes: list[str]) -> tuple[bytes, bytes]:
        """The BOS and EOS texts at the ends of `raw` that llama-server takes off, for the tokenizer adds them again.

        Behaviour: SOURCE above.
        """
        library, vocab = self._library, self._vocab
        ends: list[bytes] = []
        for name, adds, token, found in (
            ("BOS", library.llama_vocab_get_add_bos, library.llama_vocab_bos, bytes.startswith),
            ("EOS", library.llama_vocab_get_add_eos, library.llama_vocab_eos, bytes.endswith),
        ):
            number = token(vocab)
            text = self.piece(number).data if number >= 0 and adds(vocab) else b""
            rest = raw[len(ends[0]) :] if ends else raw
            ends.append(text if text and found(rest, text) else b"")
            if ends[-1]:
                notes.append(f"the text has its own {name}: it is not added a second time, as llama-server does")
        return ends[0], ends[1]

    def _added_ends(self, ids: list[int], raw: bytes, parse_special: bool) -> tuple[int, int]:
        """How many ids the tokenizer added before and behind the text's own."""
        if self.kind in (VOCAB_SPM, VOCAB_BPE) and not self._adds_any():
            return 0, 0
        plain = self._ids(raw, False, parse_special)
        extra = len(ids) - len(plain)
        for before in range(extra, -1, -1):
            if ids[before : before + len(plain)] == plain:
                return before, extra - before
        return 0, 0

    def _adds_any(self) -> bool:
        """Whether a token is asked for at either end; SPM and BPE add no other ones.

        Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-vocab.cpp
        """
        library = self._library
        asks = (library.llama_vocab_get_add_bos, library.llama_vocab_get_add_eos, library.llama_vocab_get_add_sep)
        return any(adds(self._vocab) for adds in asks)

    def _who(self, end: str, token: int) -> str:
        library, vocab = self._library, self._vocab
        if end == "bos":
            return "bos: tokenizer.ggml.add_bos_token" if token == library.llama_vocab_bos(vocab) else "the tokenizer"
        if token == library.llama_vocab_eos(vocab) and library.llama_vocab_get_add_eos(vocab):
            return "eos: tokenizer.ggml.add_eos_token"
        return "sep: the tokenizer" if token == library.llama_vocab_sep(vocab) else "the tokenizer"

    def _space_prefix(self) -> bool:
        """Whether a space that is not in the text is put before it (SPM's add_space_prefix), found by trying."""
        if self._has_prefix is None:
            probe = self._ids(b"a", False, False)
            self._has_prefix = bool(probe) and self.piece(probe[0]).data.startswith(b" ")
        return self._has_prefix


def encoded(text: str) -> bytes:
    """The text as UTF-8. Errors: `BadRequest` for no text, for its length, or with the place of a lone surrogate."""
    if not isinstance(text, str):
        raise BadRequest(f"the text is of the type {type(text).__name__}", "accepted is a str")
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest(
            f"the text has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}",
            "a tokenizer reads valid Unicode",
            "remove it or write the whole character",
        ) from error
    if len(raw) > MAX_TEXT:
        raise BadRequest(f"the text has {len(raw):,} bytes", f"accepted are {MAX_TEXT:,}")
    return raw


def characters(byte_spans: npt.NDArray[np.int32], raw: bytes) -> npt.NDArray[np.int32]:
    """Byte spans (n, 2) as code-point spans (n, 2): a token inside a character covers the whole character."""
    data = np.frombuffer(raw, np.uint8)
    starts = (data & 0xC0) != 0x80  # a byte that begins a character
    index = np.concatenate([[0], np.cumsum(starts)]).astype(np.int32)  # (bytes + 1,): characters begun before it
    begin, end = byte_spans[:, 0], byte_spans[:, 1]
    inside = np.zeros(len(raw) + 1, bool)
    inside[: len(raw)] = ~starts
    first = index[np.maximum(begin, 0)] - inside[np.maximum(begin, 0)]
    last = index[np.maximum(end, 0)]
    last = np.where(end == begin, first, last)
    return np.where(byte_spans < 0, -1, np.stack([first, last], axis=1)).astype(np.int32)
