"""What a tokenizer is to the rest of the workbench, and how ids that came from elsewhere become `Tokens`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from workbench.runtime.align import Aligned, Piece, align
from workbench.runtime.vocabulary import characters, encoded
from workbench.stages import Tokens

if TYPE_CHECKING:
    from workbench.progress import Cancel

TOLD = "some pieces are not the text's bytes: the places are those that the tokenizer tells"


class Tokenizer(Protocol):
    """One tokenizer, used in a `with` block; the next kind is a file beside this and a line in `tokenizer_of`."""

    @property
    def name(self) -> str:
        """What it is, for a heading."""
        ...

    def tokenize(self, text: str, *, cancel: Cancel | None = None) -> Tokens:
        """The text's tokens. Errors: `BadRequest` for a text that is no Unicode, `CannotRun`, `Cancelled`."""
        ...

    def detokenize(self, tokens: Tokens) -> bytes:
        """The text of the tokens that are not added ones, as the tokenizer itself gives it. Errors: `CannotRun`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *why: object) -> None: ...


class Ends(NamedTuple):
    """How many ids were put before and behind the text's own, and by whom."""

    before: int
    behind: int
    by: str = "the tokenizer"


def placed(
    text: str,
    ids: Sequence[int],
    pieces: Sequence[Piece],
    ends: Ends,
    *,
    folds: bool = False,
    told: Sequence[tuple[int, int]] = (),
    n_vocab: int = 0,
) -> Tokens:
    """`Tokens` from ids and pieces, each placed where its piece stands in the text.

    `folds`: the tokenizer changes letters before lookup. `told`: code points of each token as the tokenizer itself
    tells them, taken where some piece is not found. Errors: `BadRequest` for a text that is no Unicode.
    """
    raw = encoded(text)
    inner = list(pieces[ends.before : len(pieces) - ends.behind])
    prefixed = bool(inner) and inner[0].data.startswith(b" ") and not raw.startswith(b" ")
    found = align(inner, raw, folds=folds, space_prefix=prefixed)
    if found.notes and told:
        found = Aligned(_in_bytes(text, told[ends.before : len(pieces) - ends.behind]), [TOLD])
    spans = [(0, 0)] * ends.before + found.spans + [(len(raw), len(raw))] * ends.behind
    byte_spans = np.array(spans, np.int32).reshape(-1, 2)
    outer = [*range(ends.before), *range(len(ids) - ends.behind, len(ids))]
    return Tokens(
        ids=np.array(ids, np.int32),
        pieces=tuple(piece.data for piece in pieces),
        types=tuple(piece.type for piece in pieces),
        spans=characters(byte_spans, raw),
        byte_spans=byte_spans,
        added=tuple((i, ends.by) for i in outer),
        n_vocab=n_vocab,
        notes=tuple(found.notes),
    )


def _in_bytes(text: str, told: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of code points as spans of bytes."""
    places = [0, *itertools.accumulate(len(character.encode("utf-8")) for character in text)]
    return [(places[start], places[end]) for start, end in told]


def own_ids(tokens: Tokens) -> list[int]:
    """The ids that stand for text: without those that were added."""
    added = {i for i, _ in tokens.added}
    return [token for i, token in enumerate(tokens.ids.tolist()) if i not in added]
