"""What the model expected: tokens coloured by their probability, and the positions that surprised it most."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.stages import Scores, Tokens
from workbench.views.candidates import name, percent
from workbench.views.html import code, cut, escape, fold, heading, mark, table, visible_bytes
from workbench.views.palette import FAINT, PROBABILITIES, Pair, probability_pair
from workbench.views.tokens import strip, title

if TYPE_CHECKING:
    from workbench.compare.surprises import PlaceSum, Surprises

LIMIT_ROWS = 12


def view(value: Scores) -> str:
    """Scores alone know ids only: the figures and the most surprising positions."""
    return heading("Scores", aside(value)) + surprises(value, None, {})


def view_with(value: Scores, tokens: Tokens, pieces: Mapping[int, bytes]) -> str:
    """Scores over the tokens they are about; `pieces` by id name the candidates."""
    known = {**pieces, **{int(i): piece for i, piece in zip(tokens.ids, tokens.pieces, strict=True)}}
    parts = [heading("Scores", aside(value)), legend(), strip(tokens, _look(value, tokens))]
    return "".join([*parts, surprises(value, tokens, known)])


def aside(value: Scores) -> str:
    """The number of positions and the mean log-probability, in words."""
    known = value.logprob[:-1]
    mean = f", mean log-probability {float(known.mean()):.3f} nats" if len(known) else ""
    return f"{len(value):,} positions{mean}"


def legend() -> str:
    """The steps of probability on their colours."""
    marks = [mark(words, pair, extra="padding:1px 7px;margin-right:4px") for _, words, pair in PROBABILITIES]
    return f'<div style="font-size:12px;margin:4px 0">probability of each token: {"".join(marks)}</div>'


def surprises(value: Scores, tokens: Tokens | None, pieces: Mapping[int, bytes]) -> str:
    """A table of the positions whose token the model thought least likely."""
    known = np.flatnonzero(~np.isnan(value.logprob))
    order = known[np.argsort(value.logprob[known], kind="stable")][:LIMIT_ROWS]
    if not len(order):
        return "<i>no position has a token behind it</i>"
    rows = []
    for row in (int(r) for r in order):
        actual = name(int(tokens.ids[row + 1]), pieces) if tokens else "–"
        cells = (row + 1, percent(math.exp(value.logprob[row])), int(value.rank[row]), f"{value.entropy[row]:.2f}")
        best = f"{name(int(value.top_ids[row, 0]), pieces)} {percent(math.exp(value.top_logprobs[row, 0]))}"
        rows.append([escape(cells[0]), code(actual), *(escape(cell) for cell in cells[1:]), code(best)])
    head = ("position", "token", "probability", "rank", "entropy (nats)", "expected instead")
    return heading("Most surprising") + table(head, rows) + cut(len(rows), len(known), "positions")


def view_surprises(value: Surprises) -> str:
    """The worst positions with what stands around them, and the sums by message and by origin."""
    rows = [
        [
            escape(s.position),
            code(visible_bytes(s.before)) + mark(visible_bytes(s.piece), FAINT, f"id {s.id}", "font-weight:600"),
            code(visible_bytes(s.after)),
            escape(percent(math.exp(s.logprob))),
            escape(f"{s.rank:,}"),
            escape(f"{s.margin:.2f}"),
            escape(s.place.by("message")),
        ]
        for s in value.worst
    ]
    head = ("position", "token, after what", "before what", "probability", "rank", "margin (nats)", "whose")
    parts = [heading("Most surprising", f"{len(value.worst):,} of {value.n:,} positions"), table(head, rows)]
    parts.append(fold("By message", _sums(value.messages)) + fold("By origin", _sums(value.origins)))
    return "".join(parts)


def _sums(sums: Sequence[PlaceSum]) -> str:
    rows = [
        [s.name, f"{s.n:,}", f"{s.logprob:.2f}", f"{s.mean_logprob:.3f}", f"{100 * s.first / s.n:.1f} %"] for s in sums
    ]
    head = ("", "tokens", "log-probability (nats)", "in the mean", "in first place")
    return table(head, [[escape(cell) for cell in row] for row in rows])


def _look(value: Scores, tokens: Tokens) -> Callable[[int], tuple[Pair, str]]:
    def look(i: int) -> tuple[Pair, str]:
        if i == 0 or i > len(value):
            return FAINT, f"{title(tokens, i)} · nothing stands before it"
        probability = math.exp(value.logprob[i - 1])
        words = f"probability {percent(probability)}, rank {int(value.rank[i - 1])}"
        return probability_pair(probability), f"{title(tokens, i)} · {words}"

    return look
