"""Two setups on the same tokens: divergence, flips of first place with their margins, and the noise floor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.views.curves import chart as draw
from workbench.views.curves import curve
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, visible_bytes
from workbench.views.layers import changes, figure
from workbench.views.palette import FAINT, GOOD, NOTE, WRONG

if TYPE_CHECKING:
    from workbench.compare.floor import NoiseFloor
    from workbench.compare.scores import Flip, GroupRow, ScoresPair
    from workbench.views.damage import Chart

LIMIT_FLIPS = 40
LIMIT_WORST = 12
LIMIT_CHART = 4_000
HEAD_FLIPS = ("behind token", "", "a expects", "by", "b expects", "by", "KL (nats)", "against the floor")
HEAD_GROUPS = ("", "positions", "mean KL (nats)", "largest KL", "same first place", "log-probability, b − a")
HEAD_FLOOR = ("harmless change", "mean KL (nats)", "largest KL", "same first place", "largest gap", "largest swing")


def view(value: ScoresPair) -> str:
    """The figures beside the floor, then flips, whose text it is, and the positions that differ most."""
    parts = [heading("Scores of two setups", f"{len(value):,} positions"), changes(value.changes.value())]
    parts += [notes(value.notes), _summary(value)]
    flips = value.flips
    if flips:
        rows = [_flip(value, flip) for flip in flips[:LIMIT_FLIPS]]
        body = table(HEAD_FLIPS, rows) + cut(len(rows), len(flips), "flips")
        parts.append(fold(f"First place differs · {len(flips):,}", body, is_open=True))
    parts.append(fold("By whose text it is", table(HEAD_GROUPS, [_group(g) for g in value.groups("message")])))
    parts.append(fold("Largest divergence", _worst(value)))
    if value.floor is not None:
        parts.append(fold("Noise floor", view_floor(value.floor)))
    return "".join(parts)


def _summary(value: ScoresPair) -> str:
    words = f"mean KL {figure(value.mean_kl)} nats, same first place {100 * value.same_top:.2f} %"
    if value.floor is None:
        return mark(words, FAINT, extra="padding:2px 6px") + escape(" noise floor not measured")
    verdict = "more than noise" if value.beyond_floor else "within the noise"
    colours = WRONG if value.beyond_floor else GOOD
    return mark(f"{words}; floor {figure(value.floor.mean_kl)} nats: {verdict}", colours, extra="padding:2px 6px")


def _flip(value: ScoresPair, flip: Flip) -> list[str]:
    verdicts = {None: ("not measured", FAINT), True: ("beyond", WRONG), False: ("within: says nothing", NOTE)}
    words, colours = verdicts[flip.beyond_floor]
    return [
        escape(f"{flip.position} ({flip.place.by('message')})"),
        code(_piece(value, flip.position)),
        code(_token(value, flip.a)),
        escape(f"{flip.margin_a:.3f} nats"),
        code(_token(value, flip.b)),
        escape(f"{flip.margin_b:.3f} nats"),
        escape(figure(flip.kl)),
        mark(words, colours, extra="padding:0 4px"),
    ]


def _piece(value: ScoresPair, position: int) -> str:
    return visible_bytes(value.pieces[position]).replace("\n", "") if value.pieces else ""


def _token(value: ScoresPair, token: int) -> str:
    known = dict(value.names)
    return visible_bytes(known[token]).replace("\n", "") if token in known else f"id {token}"


def _group(group: GroupRow) -> list[str]:
    change = "–" if math.isnan(group.logprob_change) else f"{group.logprob_change:+.4f}"
    cells = (group.name, f"{group.n:,}", figure(group.mean_kl), figure(group.max_kl), f"{100 * group.same_top:.1f} %")
    return [escape(cell) for cell in (*cells, change)]


def _worst(value: ScoresPair) -> str:
    known = np.flatnonzero(~np.isnan(value.kl))
    order = known[np.argsort(-value.kl[known], kind="stable")][:LIMIT_WORST]
    rows = [[escape(int(i)), code(_piece(value, int(i))), escape(figure(float(value.kl[i])))] for i in order]
    return table(("behind token", "", "KL (nats)"), rows) + cut(len(rows), len(known), "positions")


def view_floor(value: NoiseFloor) -> str:
    """One row for each harmless change."""
    rows = [
        [
            escape(row.change),
            escape(figure(row.mean_kl)),
            escape(figure(row.max_kl)),
            escape(f"{100 * row.same_top:.2f} %"),
            escape(f"{row.gap:.4f} nats"),
            escape(f"{row.swing:.4f} nats"),
        ]
        for row in value.rows
    ]
    head = heading(
        "Noise floor", f"mean KL {figure(value.mean_kl)} nats, a swing of {value.swing:.3f} nats says nothing"
    )
    return head + table(HEAD_FLOOR, rows)


def chart(value: ScoresPair, *, theme: str = "light") -> Chart:
    """KL by position on a logarithmic axis (what is 0 is left out), flips marked, the floor as a line."""
    n = min(len(value), LIMIT_CHART)
    kl = [float(x) if x > 0 else None for x in value.kl[:n]]
    hover = [f"{i} {_piece(value, i)}\nKL {figure(float(value.kl[i]))} nats" for i in range(n)]
    traces = [curve("KL(a‖b)", list(range(n)), kl, hover, index=0, theme=theme)]
    flips = [flip.position for flip in value.flips if flip.position < n and kl[flip.position] is not None]
    marks = curve("first place differs", flips, [kl[i] for i in flips], [hover[i] for i in flips], index=1, theme=theme)
    traces.append(marks | {"mode": "markers", "marker": marks["marker"] | {"size": 9, "symbol": "diamond"}})
    if value.floor is not None and value.floor.max_kl > 0:
        words = [f"floor {figure(value.floor.max_kl)} nats at most"] * 2
        level = curve("floor, largest", [0, n - 1], [value.floor.max_kl] * 2, words, index=2, theme=theme, dash="dot")
        traces.append(level | {"mode": "lines"})
    text = f"{value!r}"
    return draw(traces, title="Divergence by position", x="token", y="nats", text=text, theme=theme, log=True)
