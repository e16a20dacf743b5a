"""A `tokenizer.json` through Hugging Face's own library `tokenizers` (extra `hf`)."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from workbench.conversation import read_text
from workbench.errors import BadFile, CannotRun
from workbench.runtime.align import Piece
from workbench.runtime.vocabulary import encoded
from workbench.stages import Tokens
from workbench.tokenizers.base import Ends, own_ids, placed

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.setup import TokenizerFlags

FILE = "tokenizer.json"
MOST_ID = 2**31 - 1  # as llama.cpp counts them
BY = "the post-processor of tokenizer.json"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_FOLDING = ("BertNormalizer", "Lowercase", "StripAccents", "NFD", "NFKD", "NFKC", "NFC", "Precompiled", "Strip")


class HfTokenizer:
    """What the library makes of the file alone: `tokenizer_config.json` is not read, nothing is cut or padded.

    With `parse_special` off special tokens in the text are text. Errors: `BadFile`, `CannotRun` without the library.
    """

    def __init__(self, path: str | Path, flags: TokenizerFlags) -> None:
        path = Path(os.path.expanduser(path))  # noqa: PTH111  # Path's own raises for a user that is not known
        self._path = path / FILE if os.path.isdir(path) else path  # noqa: PTH112  # it raises for a name too long
        text = read_text(self._path, f"a {FILE}")
        self._tokenizer = _loaded(text, self._path)
        self._tokenizer.encode_special_tokens = flags.parse_special is False
        self._adds = flags.add_special is not False
        self._words = _Words(json.loads(text))

    @property
    def name(self) -> str:
        """The file's name, with its folder's."""
        return f"{self._path.parent.name}/{self._path.name}"

    def tokenize(self, text: str, *, cancel: Cancel | None = None) -> Tokens:  # noqa: ARG002  Rust hears no cancel
        """The text's tokens, in one piece: it cannot be cancelled. Errors: `BadRequest`, `CannotRun`."""
        encoded(text)
        with _said(self._path):
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
            plain = encoding.ids
            if self._adds and self._tokenizer.num_special_tokens_to_add(False):
                encoding = self._tokenizer.encode(text)
            ids, told = encoding.ids, encoding.offsets if self._words.folds else ()
            pieces = [self._words.piece(i, self._tokenizer.id_to_token(i) or "") for i in ids]
            n_vocab = self._tokenizer.get_vocab_size()
        if max(ids, default=0) > MOST_ID:
            raise CannotRun(f"{self._path} has the token id {max(ids)}", f"accepted are ids up to {MOST_ID}")
        before = next((n for n in range(len(ids) - len(plain) + 1) if ids[n : n + len(plain)] == plain), 0)
        ends = Ends(before, max(0, len(ids) - len(plain) - before), BY)
        return placed(text, ids, pieces, ends, folds=self._words.folds, told=told, n_vocab=n_vocab)

    def detokenize(self, tokens: Tokens) -> bytes:
        """What `decode` gives, special tokens as text; bytes that are no UTF-8 come back as U+FFFD."""
        with _said(self._path):
            text: str = self._tokenizer.decode(own_ids(tokens), skip_special_tokens=False)
        return text.encode("utf-8", "surrogatepass")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        """Nothing to close."""


class _Words:
    """How this file writes its tokens, told by its decoder: bytes as letters, "▁" for a space, "##" in a word."""

    def __init__(self, data: dict[str, Any]) -> None:
        decoders, normalizers = _parts(data.get("decoder"), "decoders"), _parts(data.get("normalizer"), "normalizers")
        kinds = {part["type"] for part in decoders}
        model = data.get("model") or {}
        self._letters = "ByteLevel" in kinds
        self._bytes = "ByteFallback" in kinds or bool(model.get("byte_fallback"))
        self._inside = model.get("continuing_subword_prefix") if model.get("type") == "WordPiece" else None
        self._unknown = model.get("unk_token")
        self._added = {item["id"]: item for item in data.get("added_tokens") or ()}
        self.folds = any(part["type"] in _FOLDING for part in normalizers)

    def piece(self, number: int, token: str) -> Piece:
        """What a token stands for, and its type in llama.cpp's words."""
        if number in self._added:
            item = self._added[number]
            kind = "unknown" if token == self._unknown else "control" if item["special"] else "user_defined"
            return Piece(item["content"].encode(), kind, eats_left=item["lstrip"], eats_right=item["rstrip"])
        if token == self._unknown:
            return Piece(token.encode(), "unknown")
        if self._bytes and (found := _BYTE.fullmatch(token)):
            return Piece(bytes([int(found[1], 16)]), "byte")
        if self._letters and all(letter in LETTERS for letter in token):
            return Piece(bytes(LETTERS[letter] for letter in token), "normal")
        word = token.removeprefix(self._inside) if self._inside else token.replace("\u2581", " ")
        return Piece(word.encode("utf-8", "surrogatepass"), "normal")


def _letters() -> dict[str, int]:
    """The letter that byte-level BPE writes for each byte: itself where it has ink, else one from U+0100 on.

    Behaviour: https://github.com/openai/gpt-2/blob/9b63575ef42771a015060c964af2c3da4cf7c8ab/src/encoder.py#L9
    """
    inked = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in inked]
    return {chr(byte): byte for byte in inked} | {chr(0x100 + n): byte for n, byte in enumerate(hidden)}


LETTERS = _letters()


def _parts(section: Any, name: str) -> list[dict[str, Any]]:
    """A section's parts, those of a sequence apart."""
    if not section:
        return []
    return [part for item in section[name] for part in _parts(item, name)] if name in section else [section]


def _loaded(text: str, path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise CannotRun(
            "the library tokenizers is not installed", f"it reads {FILE}", "pip install 'gguf-workbench[hf]'"
        ) from error
    try:
        with _said(path):
            tokenizer = Tokenizer.from_str(text)
    except CannotRun as error:
        raise BadFile(error.given, f"accepted is a {FILE} of Hugging Face's tokenizers", "check the file") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """What the library says against the file or a text as a `CannotRun`; a panic of its Rust code too."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CannotRun(f"{path}: {error}", "", "") from error
