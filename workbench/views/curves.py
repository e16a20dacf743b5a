"""Curves and bars as plotly MIME bundles: one way of drawing what is measured along positions or layers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Literal

from workbench.views.damage import Chart
from workbench.views.figures import GRID, INK, MIME

HEIGHT_PX = 300
LINES = (
    {"light": "#1f6fb5", "dark": "#5aa7e6"},
    {"light": "#c05a1d", "dark": "#f0965a"},
    {"light": "#7a8699", "dark": "#8f9bb0"},
)


def curve(
    name: str,
    x: Sequence[Any],
    y: Sequence[float | None],
    hover: Sequence[str],
    *,
    index: int,
    theme: str,
    dash: Literal["solid", "dot"] = "solid",
) -> dict[str, Any]:
    """One line with its points; `hover` is plain text. None in `y` leaves a gap."""
    colour = LINES[index % len(LINES)][theme]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"color": colour, "size": 5},
        "hovertext": [html.escape(text, quote=False).replace("\n", "<br>") for text in hover],
        "hoverinfo": "text",
    }


def chart(
    traces: Sequence[dict[str, Any]],
    *,
    title: str,
    x: str,
    y: str,
    text: str,
    theme: str,
    log: bool = False,
    more: dict[str, Any] | None = None,
) -> Chart:
    """The figure with its title and axes (plain text); `text` says the same in lines of text."""
    axis = {"gridcolor": GRID[theme], "zeroline": False}
    layout = {
        "height": HEIGHT_PX,
        "margin": {"l": 70, "r": 16, "t": 44, "b": 60},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK[theme], "size": 11},
        "title": {"text": html.escape(title, quote=False), "x": 0, "xref": "paper", "font": {"size": 13}},
        "xaxis": axis | {"title": {"text": html.escape(x, quote=False)}},
        "yaxis": axis | {"title": {"text": html.escape(y, quote=False)}} | ({"type": "log"} if log else {}),
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.12, "x": 0.5},
    }
    for name, value in (more or {}).items():
        layout[name] = layout[name] | value if isinstance(value, dict) and name in layout else value  # type: ignore[operator]
    figure = {"data": list(traces), "layout": layout, "config": {"displayModeBar": False}}
    return Chart({MIME: figure, "text/plain": text})
