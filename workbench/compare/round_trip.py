"""Tokens against the text they were made from: what was eaten, put in or rewritten, and which characters were cut."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from workbench.stages import Tokens, show_bytes
from workbench.values import Value

WINDOW = 32  # bytes shown on both sides of the first difference


class ByteDifference(NamedTuple):
    """The first byte in which text and answer differ, and up to `WINDOW` bytes around it."""

    offset: int
    before: bytes
    text: bytes
    back: bytes


class Unlike(NamedTuple):
    """A token whose piece is not what stands at its place: nothing for one that was added, None where it has none."""

    token: int
    piece: bytes
    stands: bytes | None


class CutCharacter(NamedTuple):
    """Tokens [first, end) that are valid UTF-8 only together; `text` None where they never become a character."""

    first: int
    end: int
    data: bytes
    text: str | None


@dataclass(frozen=True)
class RoundTrip(Value):
    """A text, its tokens, and the bytes that the tokenizer makes of them again."""

    text: str
    tokens: Tokens
    back: bytes

    @property
    def raw(self) -> bytes:
        """The text as UTF-8."""
        return self.text.encode("utf-8", "surrogatepass")

    @property
    def exact(self) -> bool:
        """Whether the text came back byte for byte."""
        return self.back == self.raw

    @cached_property
    def first_difference(self) -> ByteDifference | None:
        """Where text and answer part, None where they do not."""
        raw, back = self.raw, self.back
        if raw == back:
            return None
        shorter = min(len(raw), len(back))
        at = next((i for i in range(shorter) if raw[i] != back[i]), shorter)
        return ByteDifference(at, raw[max(0, at - WINDOW) : at], raw[at : at + WINDOW], back[at : at + WINDOW])

    @cached_property
    def eaten(self) -> tuple[tuple[int, int], ...]:
        """The stretches of bytes [start, end) of the text that no token stands for."""
        return tuple(_eaten(self.tokens, len(self.raw)))

    @cached_property
    def unlike(self) -> tuple[Unlike, ...]:
        """The tokens whose pieces are not the text's bytes: added, with a space put before them, folded, unknown."""
        raw, pieces = self.raw, self.tokens.pieces
        stand = [raw[start:end] if start >= 0 else None for start, end in self.tokens.byte_spans.tolist()]
        return tuple(Unlike(i, pieces[i], text) for i, text in enumerate(stand) if pieces[i] != text)

    @cached_property
    def cut(self) -> tuple[CutCharacter, ...]:
        """The characters that more than one token makes up, and bytes that make up none."""
        return tuple(_cut(self.tokens))

    def to_dict(self) -> dict[str, Any]:
        """`{exact, first_difference, eaten, unlike, cut, tokens}`; bytes as visible text, see `show_bytes`."""
        return {
            "exact": self.exact,
            "first_difference": _shown(self.first_difference) if self.first_difference else None,
            "eaten": [list(stretch) for stretch in self.eaten],
            "unlike": [_shown(token) for token in self.unlike],
            "cut": [_shown(character) for character in self.cut],
            "tokens": self.tokens.to_dict(),
        }

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        rows += [{"what": "eaten", "token": None, "text": self.raw[a:b], "piece": b""} for a, b in self.eaten]
        rows += [{"what": "unlike", "token": t.token, "text": t.stands, "piece": t.piece} for t in self.unlike]
        return rows + [{"what": "cut", "token": c.first, "text": c.text, "piece": c.data} for c in self.cut]

    def __repr__(self) -> str:
        where = self.first_difference
        said = "exact" if where is None else f"parts at byte {where.offset}"
        lists = f"{len(self.eaten)} eaten, {len(self.unlike)} unlike the text, {len(self.cut)} characters cut"
        return f"RoundTrip({len(self.tokens):,} tokens, {said}; {lists})"


def _shown(item: Any) -> dict[str, Any]:
    return {name: show_bytes(part) if isinstance(part, bytes) else part for name, part in item._asdict().items()}


def _eaten(tokens: Tokens, size: int) -> Iterator[tuple[int, int]]:
    """Gaps between the tokens' places; next to a token without a place nothing is claimed."""
    at: int | None = 0
    for start, end in [*tokens.byte_spans.tolist(), [size, size]]:
        if start < 0:
            at = None
            continue
        if at is not None and start > at:
            yield at, start
        at = max(at or 0, end)


def _cut(tokens: Tokens) -> Iterator[CutCharacter]:
    """Runs of pieces of which each ends inside a character that the next one goes on with."""
    first, data = 0, b""
    for i, piece in enumerate(tokens.pieces):
        if not data and piece.isascii():
            continue
        if data and not _goes_on(data, piece):
            yield CutCharacter(first, i, data, None)
            data = b""
        first = first if data else i
        data += piece
        if _unfinished(data):
            continue
        if i > first or _text(data) is None:
            yield CutCharacter(first, i + 1, data, _text(data))
        data = b""
    if data:
        yield CutCharacter(first, len(tokens), data, None)


def _unfinished(data: bytes) -> int:
    """How many bytes at the end begin a character that is not whole."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    decoder.decode(data)
    return len(decoder.getstate()[0])


def _goes_on(data: bytes, piece: bytes) -> bool:
    """Whether `piece` goes on with the character that `data` ends in."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data[-_unfinished(data) :] + piece)
    except UnicodeDecodeError as error:
        return error.start > 0
    return True


def _text(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
