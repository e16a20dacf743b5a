"""Charts as plotly MIME bundles: plain JSON that JupyterLab draws, made without loading plotly itself."""

from __future__ import annotations

import html
from typing import Any

from workbench.values import clip
from workbench.views.candidates import Candidates, percent

MIME = "application/vnd.plotly.v1+json"
INK = {"light": "#3b4656", "dark": "#c8d0dc"}
GRID = {"light": "#e3e7ed", "dark": "#3a414d"}
BAR = {"light": "#a9bbd3", "dark": "#55708f"}
HERE = {"light": "#1f8a5b", "dark": "#3fbf85"}
HEIGHT_PX = 250
LIMIT_LABEL = 18


def candidates(value: Candidates, *, theme: str = "light") -> dict[str, Any]:
    """The candidates of one position as a bar chart: `{plotly MIME type: figure, "text/plain": ...}`.

    Bars are probabilities, best first; the token that really stands there has the strong colour. Labels
    are escaped twice over: plotly reads a subset of HTML in them.
    """
    figure = {"data": [_bars(value, theme)], "layout": _layout(value, theme), "config": {"displayModeBar": False}}
    return {MIME: figure, "text/plain": as_text(value)}


def as_text(value: Candidates) -> str:
    """The same facts in lines of plain text."""
    lines = [
        f"{c.rank:>6} {percent(c.probability):>8} {c.piece}{'  <- stands here' if c.here else ''}" for c in value.rows
    ]
    return "\n".join([value.title, *lines])


def label(text: str) -> str:
    """A token as plotly text: cut, and its markup characters as entities."""
    return html.escape(clip(text, LIMIT_LABEL).partition(" (+")[0] if len(text) > LIMIT_LABEL else text, quote=False)


def _bars(value: Candidates, theme: str) -> dict[str, Any]:
    hover = [f"{label(c.piece)}<br>id {c.id}, rank {c.rank:,}<br>{percent(c.probability)}" for c in value.rows]
    return {
        "type": "bar",
        "x": list(range(len(value.rows))),
        "y": [c.probability for c in value.rows],
        "marker": {"color": [(HERE if c.here else BAR)[theme] for c in value.rows]},
        "hovertext": hover,
        "hoverinfo": "text",
        "text": [percent(c.probability) if c.probability >= 0.03 or c.here else "" for c in value.rows],
        "textposition": "outside",
        "cliponaxis": False,
    }


def _layout(value: Candidates, theme: str) -> dict[str, Any]:
    ticks = [label(c.piece) for c in value.rows]
    best = max((c.probability for c in value.rows), default=1.0)
    face = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
    return {
        "height": HEIGHT_PX,
        "margin": {"l": 46, "r": 12, "t": 34, "b": 66},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK[theme], "size": 11},
        "title": {"text": html.escape(value.title, quote=False), "x": 0, "xref": "paper", "font": {"size": 13}},
        "xaxis": {
            "tickvals": list(range(len(ticks))),
            "ticktext": ticks,
            "tickangle": 40,
            "tickfont": {"family": face, "size": 11},
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {
            "tickformat": ".0%",
            "range": [0, min(1.12, best * 1.18)],
            "gridcolor": GRID[theme],
            "zeroline": False,
        },
        "bargap": 0.28,
        "showlegend": False,
    }
