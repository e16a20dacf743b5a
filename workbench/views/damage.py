"""How much a setup damages a model: the shares with their intervals, and the requests that went wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.values import clip
from workbench.views import setup
from workbench.views.figures import GRID, INK, MIME
from workbench.views.html import code, cut, escape, fold, heading, notes, table
from workbench.views.palette import GOOD, LINE, WRONG, style

if TYPE_CHECKING:
    from workbench.damage.result import Change, Damage, Outcome, Paired, Row
    from workbench.damage.statistics import Interval

LIMIT_WRONG = 12  # wrong answers that are shown
LIMIT_CHARACTERS = 400
BARS = ({"light": "#1f6fb5", "dark": "#5aa7e6"}, {"light": "#c05a1d", "dark": "#f0965a"})
HEAD_PAIRED = ("", "requests", "before", "after", "difference", "95 % interval", "lost", "won", "p")


def view(value: Damage) -> str:
    """The figures, the setup, the first wrong answers."""
    rows = [[escape(r.title), escape(_count(r)), _bar(r), escape(_range(r.estimate, r.right))] for r in value.figures()]
    parts = [heading("Damage", f"{len(value.outcomes):,} held-out requests"), notes(value.notes)]
    parts.append(table(("", "requests", "measured", "95 % interval"), rows))
    wrong = [outcome for outcome in value.outcomes if not outcome.facts.exact]
    if wrong:
        parts.append(fold(f"Wrong answers · {len(wrong):,}", _answers(wrong)))
    return "".join([*parts, fold("Setup", setup.view(value.setup))])


def view_paired(value: Paired) -> str:
    """Both setups side by side, each difference with its interval and the paired test's p."""
    names = [escape(f"{name}: {before!r} → {after!r}") for name, (before, after) in _differences(value)]
    parts = [heading("Damage, before and after", f"{len(value.before.outcomes):,} requests, the same for both")]
    parts.append("".join(f'<div style="padding:1px 0">{name}</div>' for name in names) or escape("the same setup"))
    parts.append(table(HEAD_PAIRED, [_paired_row(change) for change in value.changes()]))
    pairs = zip(value.before.outcomes, value.after.outcomes, strict=True)
    lost = [after for before, after in pairs if before.facts.exact and not after.facts.exact]
    if lost:
        parts.append(fold(f"Right before, wrong after · {len(lost):,}", _answers(lost)))
    return "".join(parts)


def chart(value: Damage, *, theme: str = "light") -> Chart:
    """The shares of one setup with their 95 % intervals."""
    return _chart([value], theme)


def chart_paired(value: Paired, *, theme: str = "light") -> Chart:
    """The shares of both setups beside each other, with their 95 % intervals."""
    return _chart([value.before, value.after], theme)


def _chart(values: Sequence[Damage], theme: str) -> Chart:
    traces = [_trace(value, i, theme, many=len(values) > 1) for i, value in enumerate(values)]
    face = {"color": INK[theme], "size": 11}
    layout = {
        "height": 380,
        "margin": {"l": 250, "r": 16, "t": 30, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": face,
        "title": {"text": "Held-out requests", "x": 0, "xref": "paper", "font": {"size": 13}},
        "xaxis": {"range": [0, 1.02], "tickformat": ".0%", "gridcolor": GRID[theme], "zeroline": False},
        "yaxis": {"autorange": "reversed", "gridcolor": GRID[theme]},
        "showlegend": len(values) > 1,
        "legend": {"orientation": "h", "y": 1.12, "x": 0.3},
    }
    figure = {"data": traces, "layout": layout, "config": {"displayModeBar": False}}
    return Chart({MIME: figure, "text/plain": "\n".join(_text(value) for value in values)})


class Chart:
    """A plotly MIME bundle that a notebook draws; `bundle` is plain JSON."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle = bundle

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002
        return self.bundle

    def __repr__(self) -> str:
        return str(self.bundle["text/plain"])


def _trace(value: Damage, index: int, theme: str, *, many: bool) -> dict[str, Any]:
    rows = [row for row in value.figures() if row.right is not None and row.n]
    middle = [row.estimate.value for row in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": ("before", "after")[index] if many else "",
        "y": [row.title for row in rows],
        "x": middle,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [row.estimate.high - row.estimate.value for row in rows],
            "arrayminus": [row.estimate.value - row.estimate.low for row in rows],
            "thickness": 2,
        },
        "marker": {
            "size": (13, 8)[index] if many else 9,
            "color": BARS[index][theme],
            "symbol": ("circle", "diamond")[index],
        },
        "hovertext": [f"{row.title}<br>{_count(row)}: {_range(row.estimate, row.right)}" for row in rows],
        "hoverinfo": "text",
    }


def _text(value: Damage) -> str:
    return "\n".join(f"{row.title:<48} {_count(row):>9}  {_range(row.estimate, row.right)}" for row in value.figures())


def _differences(value: Paired) -> list[tuple[str, tuple[Any, Any]]]:
    return [(name, pair) for name, pair in value.before.setup.diff(value.after.setup).items()]


def _count(row: Row) -> str:
    return f"{row.n:,}" if row.right is None else f"{row.right:,} of {row.n:,}"


def _bar(row: Row) -> str:
    if row.right is None:
        return escape(_number(row.estimate.value))
    if not row.n:
        return "–"
    width = round(row.estimate.value * 120)
    box = f"display:inline-block;height:10px;width:{max(2, width)}px;{style(GOOD)};border:1px solid {LINE}"
    return f'<span style="{box}">&nbsp;</span> {100 * row.estimate.value:.1f} %'


def _range(interval: Interval, right: int | None) -> str:
    if math.isnan(interval.value):
        return "not evaluated: too few requests"
    if right is None:
        return f"{_number(interval.low)} to {_number(interval.high)}"
    return f"{100 * interval.low:.1f} % to {100 * interval.high:.1f} %"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _paired_row(change: Change) -> list[str]:
    is_share = change.only_before is not None
    if change.n == 0:
        return [escape(change.title), "0", *["–"] * 7]
    before, after = (f"{100 * x:.1f} %" if is_share else _number(x) for x in (change.before, change.after))
    gap, low, high = (
        "–" if math.isnan(x) else f"{100 * x:+.1f}" if is_share else f"{x:+.4f}" for x in change.difference
    )
    cells = [change.title, str(change.n), before, after, gap, f"{low} to {high}"]
    cells += ["–", "–"] if not is_share else [str(change.only_before), str(change.only_after)]
    worse = (change.difference.value > 0) != is_share
    ground = style(WRONG if worse else GOOD) if change.significant else ""
    p = "–" if math.isnan(change.p) else f"{change.p:.2g}"
    whole = [f'<span style="white-space:nowrap">{escape(cell)}</span>' for cell in cells[1:]]
    return [escape(cells[0]), *whole, f'<span style="{ground};padding:0 4px">{escape(p)}</span>']


def _answers(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [code(o.id), escape(o.kind), code(clip(o.answer, LIMIT_CHARACTERS)), escape(o.why or o.stop)]
        for o in outcomes[:LIMIT_WRONG]
    ]
    return table(("request", "kind", "the model wrote", "it ended"), rows) + cut(len(rows), len(outcomes), "answers")
