"""Strips under each other: lines of tokens, under each token every variant's colour and what it would put there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from workbench.views.html import escape, mark, visible_bytes
from workbench.views.palette import FAINT, MONO, PROBABILITIES, Pair, style

if TYPE_CHECKING:
    from workbench.variants.result import Variant, Variants

LIMIT_TOKENS = 400
LINE_CHARACTERS = 96
LABEL_CHARACTERS = 18
CELL = "white-space:pre;text-align:left"
KINDS = {"tool call": ("#e6dafa", "#3a1a66"), "code": ("#cfe2fd", "#0c2c5a"), "frame": FAINT, "tools": FAINT}
PROSE = ("#ffffff", "#1d232b")


class Step(NamedTuple):
    """KL in nats below `bound`: its words and colours."""

    bound: float
    words: str
    pair: Pair


_PAIRS = [pair for _, _, pair in PROBABILITIES]
DIVERGENCE: tuple[Step, ...] = (
    Step(0.001, "under 0.001 nats, or within the floor", _PAIRS[0]),
    Step(0.01, "under 0.01", _PAIRS[1]),
    Step(0.1, "under 0.1", _PAIRS[2]),
    Step(1.0, "under 1", _PAIRS[3]),
    Step(math.inf, "1 nat and more", _PAIRS[4]),
)


def step_of(kl: float, floor: float = 0.0) -> int | None:
    """Where a KL stands in `DIVERGENCE`; `floor` is the largest that noise makes; None for NaN."""
    if math.isnan(kl):
        return None
    return 0 if kl <= floor else sum(kl >= step.bound for step in DIVERGENCE[:-1])


def strips(value: Variants, selection: int | None = None) -> str:
    """The tokens in lines, under each its colour in every variant and, where first place differs, what it expects.

    Of a long text the end, where the answer stands, or what is around the token `selection`.
    """
    n, shown = len(value), [variant for variant in value.others if variant.pair is not None]
    start = max(0, n - LIMIT_TOKENS)
    start = start if selection is None else min(start, max(0, selection - LIMIT_TOKENS // 4))
    end = min(n, start + LIMIT_TOKENS)
    legend = "".join(mark(step.words, step.pair, extra="padding:0 7px;margin-right:4px") for step in DIVERGENCE)
    head = f'<div style="font-size:12px;margin:6px 0">KL at each place: {legend}</div>'
    body = "".join(_line(value, shown, line, selection) for line in _lines(value, shown, start, end))
    return head + _left_out(start, "before") + body + _left_out(n - end, "behind") if shown else ""


def _left_out(n: int, where: str) -> str:
    return f'<div style="{style(FAINT)};padding:2px 6px">… {n:,} more tokens {where}, not shown</div>' if n else ""


def _lines(value: Variants, shown: list[Variant], start: int, end: int) -> list[range]:
    """The tokens [start, end) cut into lines of about `LINE_CHARACTERS`; the answer begins one."""
    lines, first, width = [], start, 0
    for i in range(start, end):
        cells = [piece(value.tokens.pieces[i]), *(expected(value, variant, i) for variant in shown)]
        size = 1 + max(map(len, cells))
        if i > first and (width + size > LINE_CHARACTERS - LABEL_CHARACTERS or i == value.n_prompt):
            lines.append(range(first, i))
            first, width = i, 0
        width += size
    return [*lines, range(first, end)] if end > first else lines


def _line(value: Variants, shown: list[Variant], line: range, selection: int | None) -> str:
    face = f"{MONO};font-size:12px;border-collapse:collapse;margin:0 0 6px"
    rows = [_row("", [_cell(piece(value.tokens.pieces[i]), _kind(value, i), i == selection) for i in line])]
    rows += [_row(variant.name, [_place(value, variant, i, i == selection) for i in line]) for variant in shown]
    return f'<table style="{face}">{"".join(rows)}</table>'


def _row(name: str, cells: list[str]) -> str:
    short = name if len(name) <= LABEL_CHARACTERS else f"{name[: LABEL_CHARACTERS - 1]}…"
    label = f'<td title="{escape(name)}" style="{style(FAINT)};{CELL};padding:0 6px">{escape(short)}</td>'
    return f"<tr>{label}{''.join(cells)}</tr>"


def _kind(value: Variants, i: int) -> Pair:
    return KINDS.get(value.kinds[i], PROSE)


def _place(value: Variants, variant: Variant, i: int, is_chosen: bool) -> str:
    assert variant.pair is not None
    step = step_of(float(variant.pair.kl[i - 1]), value.floor.max_kl if value.floor else 0.0) if i else None
    return _cell(expected(value, variant, i), FAINT if step is None else DIVERGENCE[step].pair, is_chosen)


def _cell(text: str, pair: Pair, is_chosen: bool) -> str:
    edge = "border:2px solid #1f6fd1" if is_chosen else "border:1px solid #fff"
    return f'<td style="{style(pair)};{CELL};{edge};padding:0 2px">{escape(text) or "&nbsp;"}</td>'


def piece(data: bytes) -> str:
    """A token on one line."""
    return visible_bytes(data).replace("\n", "")


def expected(value: Variants, variant: Variant, i: int) -> str:
    """What the variant expects at token i, where that is not what the reference expects; else empty."""
    if variant.pair is None or i == 0 or not variant.pair.flipped[i - 1]:
        return ""
    return name_of(value, int(variant.pair.b.top_ids[i - 1, 0]))


def name_of(value: Variants, token: int) -> str:
    """A candidate on one line; its id where its piece is not known."""
    return piece(value.piece_of[token]) if token in value.piece_of else f"id {token}"
