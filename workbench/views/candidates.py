"""The likeliest tokens of one position and which of them really stands there: one value for chart and table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from workbench.stages import Generation, Scores, Tokens
from workbench.views.html import code, escape, heading, table, visible_bytes
from workbench.views.palette import GOOD, LINE, style


class Candidate(NamedTuple):
    """A token, its probability (0 to 1), its rank (from 1) and whether it is the one that stands there."""

    id: int
    piece: str
    probability: float
    rank: int
    here: bool


class Candidates(NamedTuple):
    """`rows` best first; the token that stands there comes last where it is not among the best."""

    title: str
    rows: tuple[Candidate, ...]


def of_position(scores: Scores, tokens: Tokens, position: int, pieces: Mapping[int, bytes]) -> Candidates | None:
    """What the model expected at prompt token `position`; None for the first, before which nothing stands.

    `position` equal to the number of tokens is the place behind the prompt.
    """
    row = position - 1
    if not 0 <= row < len(scores):
        return None
    ids, logprobs = scores.top_ids[row], scores.top_logprobs[row]
    if position == len(tokens):
        return Candidates("What comes after the prompt", _rows(ids, logprobs, None, None, pieces))
    actual = (int(tokens.ids[position]), float(scores.logprob[row]), int(scores.rank[row]))
    known = {**dict.fromkeys([actual[0]], tokens.pieces[position])}
    title = f"Token {position}: expected here, after {visible_bytes(tokens.pieces[row])}".replace("\n", "")
    return Candidates(title, _rows(ids, logprobs, actual[0], actual[1:], {**pieces, **known}))


def of_step(generation: Generation, index: int, pieces: Mapping[int, bytes]) -> Candidates | None:
    """The model's own candidates at answer token `index`, before any sampler; None outside the answer."""
    if not 0 <= index < len(generation):
        return None
    step = generation.steps[index]
    known = {**pieces, step.id: step.piece}
    title = f"Answer token {index}: the model's own candidates, before sampling"
    return Candidates(title, _rows(step.top_ids, step.top_logprobs, step.id, (step.logprob, step.rank), known))


def view(value: Candidates | None) -> str:
    """The candidates as a table with bars; an empty text for None."""
    if value is None:
        return ""
    rows = [[escape(c.rank), _bar(c), code(c.piece), escape(c.id)] for c in value.rows]
    return heading(value.title) + table(("rank", "probability", "token", "id"), rows)


def _bar(candidate: Candidate) -> str:
    ground = style(GOOD) if candidate.here else "background-color:#b9c6d8;color:#1b2635"
    width = max(4, round(candidate.probability * 160))
    box = f"display:inline-block;height:10px;width:{width}px;{ground};border:1px solid {LINE};margin-right:6px"
    here = " ◀ stands here" if candidate.here else ""
    return f'<span style="{box}">&nbsp;</span>{percent(candidate.probability)}{here}'


def percent(probability: float) -> str:
    """A probability for people: `83.1 %`, `0.02 %`, `3e-06`."""
    if math.isnan(probability):
        return "–"
    if probability >= 0.001:
        return f"{probability * 100:.1f} %" if probability >= 0.01 else f"{probability * 100:.2f} %"
    return f"{probability:.0e}"


def _rows(
    ids: object, logprobs: object, actual: int | None, at: tuple[float, int] | None, pieces: Mapping[int, bytes]
) -> tuple[Candidate, ...]:
    pairs = zip(ids, logprobs, strict=True)  # type: ignore[call-overload]
    rows = [
        Candidate(int(i), name(int(i), pieces), math.exp(lp), rank, int(i) == actual)
        for rank, (i, lp) in enumerate(pairs, 1)
        if lp > -math.inf
    ]
    if at is not None and actual is not None and not any(row.here for row in rows):
        rows.append(Candidate(actual, name(actual, pieces), math.exp(at[0]), at[1], True))
    return tuple(rows)


def name(token: int, pieces: Mapping[int, bytes]) -> str:
    """A token's piece as one visible line, its id where the piece is not known."""
    return visible_bytes(pieces[token]).replace("\n", "") if token in pieces else f"id {token}"
