"""Tokenising a prompt so that special tokens count only where trusted text has them.

llama.cpp takes a text apart at its special tokens and tokenises what lies between each on its own; here only the
trusted ones take it apart, and what lies between is tokenised with `parse_special` off, by llama.cpp too:
https://github.com/ggml-org/llama.cpp/blob/00ad355e009e83abf98f96a6ded7193b95763681/src/llama-vocab.cpp
(`tokenizer_st_partition`). User-defined tokens are matched there all the same: no flag of llama.cpp prevents it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from workbench.runtime.align import SPACES
from workbench.runtime.vocabulary import Tokenized, Vocabulary, characters, encoded

PARSED = ("control", "unknown")  # the types that `parse_special` is about


def tokenize_guarded(
    vocabulary: Vocabulary, text: str, trusted: Sequence[Sequence[int]], *, add_special: bool | str
) -> Tokenized:
    """The tokens of `text`, special ones parsed only inside `trusted`, ranges [start, end) of code points.

    Errors: `BadRequest` for a text that is no Unicode.
    """
    raw = encoded(text)
    whole = vocabulary.tokenize(text, add_special=add_special, parse_special=True)
    roles = _roles(whole, raw, trusted)
    if add_special == "auto" and "foreign" in (*roles[:1], *roles[-1:]):
        # what llama-server takes for the template's own BOS or EOS is somebody else's text
        whole = vocabulary.tokenize(text, add_special=True, parse_special=True)
        roles = _roles(whole, raw, trusted)
    parts, at = [], 0
    for first, end in _runs(roles):
        start, stop = _between(vocabulary, whole, raw, first, end)
        again = vocabulary.tokenize(raw[start:stop].decode("utf-8"), add_special=False, parse_special=False)
        again.byte_spans = np.where(again.byte_spans < 0, -1, again.byte_spans + start).astype(np.int32)
        parts += [_slice(whole, at, first), again]
        at = end
    return _joined([*parts, _slice(whole, at, len(whole.ids))], whole, raw)


Role = Literal["fence", "foreign", "plain"]


def _roles(whole: Tokenized, raw: bytes, trusted: Sequence[Sequence[int]]) -> list[Role]:
    """Of each token: a trusted special one or one that was added (fence), another special one (foreign), or none."""
    added = {i for i, _ in whole.added}
    roles: list[Role] = []
    at = 0  # of the trusted ranges, the first that does not end before the token
    for i, ((start, end), (first, last)) in enumerate(
        zip(whole.byte_spans.tolist(), whole.spans.tolist(), strict=True)
    ):
        if whole.types[i] not in PARSED or end <= start or raw[start:end] != whole.pieces[i]:
            roles.append("fence" if i in added else "plain")
            continue
        while at < len(trusted) and trusted[at][1] < last:
            at += 1
        inside = at < len(trusted) and trusted[at][0] <= first
        roles.append("fence" if inside else "foreign")
    return roles


def _runs(roles: list[Role]) -> Iterator[tuple[int, int]]:
    """The tokens [first, end) between two fences, where one of them is foreign."""
    fences = [-1, *(i for i, role in enumerate(roles) if role == "fence"), len(roles)]
    for before, behind in pairwise(fences):
        if "foreign" in roles[before + 1 : behind]:
            yield before + 1, behind


def _between(vocabulary: Vocabulary, whole: Tokenized, raw: bytes, first: int, end: int) -> tuple[int, int]:
    """The bytes of a run, without the white space that the special tokens beside it eat."""
    start, stop = 0, len(raw)
    if first > 0:
        opened, start = whole.byte_spans[first - 1].tolist()
        if start > opened and vocabulary.piece(int(whole.ids[first - 1])).eats_right:
            start += len(raw[start:]) - len(raw[start:].lstrip(SPACES))
    if end < len(whole.ids):
        stop, closed = whole.byte_spans[end].tolist()
        if closed > stop and vocabulary.piece(int(whole.ids[end])).eats_left:
            stop = len(raw[:stop].rstrip(SPACES))
    return start, max(start, stop)


def _slice(whole: Tokenized, first: int, end: int) -> Tokenized:
    return Tokenized(
        whole.ids[first:end],
        whole.pieces[first:end],
        whole.types[first:end],
        whole.byte_spans[first:end],
        whole.spans[first:end],
    )


def _joined(parts: list[Tokenized], whole: Tokenized, raw: bytes) -> Tokenized:
    byte_spans = np.concatenate([part.byte_spans.reshape(-1, 2) for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    more = len(ids) - len(whole.ids)
    return Tokenized(
        ids=ids,
        pieces=[piece for part in parts for piece in part.pieces],
        types=[kind for part in parts for kind in part.types],
        byte_spans=byte_spans,
        spans=characters(byte_spans, raw),
        added=[(i + more if by.startswith(("eos", "sep")) else i, by) for i, by in whole.added],
        notes=whole.notes + [note for part in parts for note in part.notes],
    )
