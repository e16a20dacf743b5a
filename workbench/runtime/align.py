"""Where each token's piece stands in the text, by reading pieces and text side by side.

Most pieces are the text itself. What is not: a space that SPM puts before a text, whitespace that a
special token eats, "▁" written for a space, unknown tokens, and vocabularies that fold the text (case,
accents, Unicode forms) before looking it up. Where a piece cannot be found its span is (-1, -1), and
reading goes on behind it: a span may be missing, it is never a guess.
"""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass, field
from typing import AnyStr, NamedTuple

SPACES = b" \t\n\r\v\f"
META = "\u2581".encode()  # SPM's mark for a space
LEAST_SEARCHED = 3
SEARCH_BYTES = 512  # how far behind the cursor a lost piece is looked for
SPECIAL = ("control", "user_defined", "unknown")
Span = tuple[int, int]
LOST: Span = (-1, -1)


class Piece(NamedTuple):
    """A token's bytes as llama.cpp prints them, its type, and whether it eats whitespace on its sides."""

    data: bytes
    type: str
    eats_left: bool = False
    eats_right: bool = False


@dataclass
class Aligned:
    """Byte spans, one a token, and what could not be aligned in words."""

    spans: list[Span]
    notes: list[str] = field(default_factory=list)


def align(pieces: list[Piece], raw: bytes, *, folds: bool = False, space_prefix: bool = False) -> Aligned:
    """The byte span of each piece in the UTF-8 text `raw`.

    `folds`: the vocabulary changes letters before lookup. `space_prefix`: it puts a space before the text
    and after each special token.
    """
    if b"".join(piece.data for piece in pieces) == raw:  # nothing was added, eaten or folded: the pieces tile the text
        ends = [0, *itertools.accumulate(len(piece.data) for piece in pieces)]
        return Aligned(list(itertools.pairwise(ends)))
    spans = Folded(raw).place(pieces) if folds else Verbatim(raw, space_prefix).place(pieces)
    return Aligned(spans, _notes(spans))


class Verbatim:
    """Alignment for vocabularies that keep the text's bytes."""

    def __init__(self, raw: bytes, space_prefix: bool) -> None:
        self._raw = raw
        self._space_prefix = space_prefix
        self._at = 0

    def place(self, pieces: list[Piece]) -> list[Span]:
        """The span of each piece."""
        spans: list[Span] = []
        prefix = self._space_prefix  # a space that is not in the text stands before the cursor
        for i, piece in enumerate(pieces):
            span = self._match(piece, prefix) or self._search(pieces, i, spans)
            spans.append(span)
            if span != LOST:
                self._at = span[1]
                prefix = False
            if piece.type in SPECIAL and span != LOST:
                prefix = self._space_prefix
                self._at += self._spaces(self._at) if piece.eats_right else 0
        return fill_unknown(pieces, spans, self._raw)

    def _match(self, piece: Piece, prefix: bool) -> Span | None:
        """The span at the cursor, None where the piece does not stand there."""
        if prefix and piece.data[:1] == b" ":
            end = self._end(piece.data[1:], self._at)
            if end is not None:
                return (self._at, end)
        end = self._end(piece.data, self._at) if piece.data else self._at
        if end is not None:
            return (self._at, end)
        if piece.eats_left:
            start = self._at + self._spaces(self._at)
            end = self._end(piece.data, start)
            return None if end is None else (start, end)
        return None

    def _end(self, data: bytes, at: int) -> int | None:
        """Where `data` ends when it stands at `at`; "▁" in the text counts as the space it becomes."""
        if self._raw.startswith(data, at):
            return at + len(data)
        if META not in self._raw[at : at + 3 * len(data)]:
            return None
        for byte in data:
            if self._raw.startswith(META, at) and byte == 0x20:
                at += len(META)
            elif at < len(self._raw) and self._raw[at] == byte:
                at += 1
            else:
                return None
        return at

    def _spaces(self, at: int) -> int:
        end = at
        while end < len(self._raw) and self._raw[end] in SPACES:
            end += 1
        return end - at

    def _search(self, pieces: list[Piece], i: int, spans: list[Span]) -> Span:
        """The piece a little further on: only behind a lost one, and where it stands with the next ones just once."""
        if not spans or spans[-1] != LOST:
            return LOST
        found = only_place(self._raw, b"".join(piece.data for piece in pieces[i : i + 3]), self._at)
        return LOST if found < 0 else (found, found + len(pieces[i].data))


class Folded:
    """Alignment for vocabularies that fold case, accents and Unicode forms (WPM, UGM).

    The text is folded character by character, each folded character remembering its bytes in the
    text; spaces are dropped on both sides, for these tokenizers move them.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._folded: list[str] = []
        self._bytes: list[Span] = []
        at = 0
        for character in raw.decode("utf-8"):
            size = len(character.encode("utf-8"))
            for letter in fold(character):
                self._folded.append(letter)
                self._bytes.append((at, at + size))
            at += size
        self._text = "".join(self._folded)

    def place(self, pieces: list[Piece]) -> list[Span]:
        """The span of each piece."""
        spans: list[Span] = []
        at = 0  # in the folded text
        lost = False
        folded = [fold(piece.data.decode("utf-8", "replace")) for piece in pieces]
        for i, wanted in enumerate(folded):
            found = self._find(folded[i : i + 3], at, lost)
            lost = found < 0
            if lost:
                spans.append(LOST)
            elif not wanted:
                place = self._bytes[at - 1][1] if at else 0
                spans.append((place, place))
            else:
                at = found + len(wanted)
                spans.append((self._bytes[found][0], self._bytes[at - 1][1]))
        return fill_unknown(pieces, spans, self._raw)

    def _find(self, wanted: list[str], at: int, lost: bool) -> int:
        """Where the first of `wanted` stands: at the cursor, else (behind a lost one) together with the next ones."""
        if self._text.startswith(wanted[0], at):
            return at
        return only_place(self._text, "".join(wanted), at) if lost else -1


def only_place(text: AnyStr, wanted: AnyStr, at: int) -> int:
    """Where `wanted` begins in the next stretch of `text`, -1 where it is too short to tell or stands there twice."""
    if len(wanted) < LEAST_SEARCHED:
        return -1
    stretch = text[at : at + SEARCH_BYTES]
    found = stretch.find(wanted)
    return at + found if found >= 0 and stretch.find(wanted, found + 1) < 0 else -1


def fill_unknown(pieces: list[Piece], spans: list[Span], raw: bytes) -> list[Span]:
    """A single unknown token between two found ones stands for what lies between them, without outer spaces."""
    filled = list(spans)
    for i, piece in enumerate(pieces):
        start = spans[i - 1][1] if i else 0
        end = spans[i + 1][0] if i + 1 < len(spans) else len(raw)
        if piece.type != "unknown" or spans[i] != LOST or start < 0 or end <= start:
            continue
        between = raw[start:end]
        start += len(between) - len(between.lstrip(SPACES))
        end -= len(between) - len(between.rstrip(SPACES))
        filled[i] = (start, end) if start < end else LOST
    return filled


def fold(text: str) -> str:
    """Case, accents, compatibility forms and spaces taken off."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if not (c.isspace() or unicodedata.combining(c) or c == "\u2581"))


def _notes(spans: list[Span]) -> list[str]:
    lost = spans.count(LOST)
    return [f"{lost:,} of {len(spans):,} tokens could not be found in the text"] if lost else []
