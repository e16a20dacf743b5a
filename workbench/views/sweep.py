"""A sweep: one row a cell with its settings and what was measured, and the setups' speed and likelihood as a chart."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from workbench.values import clip
from workbench.views.damage import Chart
from workbench.views.figures import GRID, INK, MIME
from workbench.views.html import code, cut, escape, fold, heading, notes, table

if TYPE_CHECKING:
    from workbench.sweep import Cell, Sweep

LIMIT_ROWS = 200
LIMIT_CHARACTERS = 120
FIGURES = (  # key of what was measured, its title, its format
    ("n_prompt", "prompt tokens", ",d"),
    ("prompt_logprob", "prompt, nats per token", ".4f"),
    ("answer_logprob", "answer, nats per token", ".4f"),
    ("prompt_per_s", "prompt tokens per s", ",.1f"),
    ("answer_per_s", "answer tokens per s", ",.1f"),
    ("memory_mib", "MiB", ",.1f"),
)
PANELS = (("answer_per_s", "answer tokens per s"), ("prompt_logprob", "prompt, nats per token"))
COLOURS = ({"light": "#1f6fb5", "dark": "#5aa7e6"}, {"light": "#c05a1d", "dark": "#f0965a"})


def view(value: Sweep) -> str:
    """The cells in order; an error stands in its row, with the log below the table."""
    varied = value.varied
    head = ("setup", *varied, "request", "reached", *(title for _, title, _ in FIGURES), "answer or error")
    rows = [_row(value, cell) for cell in value.cells[:LIMIT_ROWS]]
    parts = [heading("Sweep", f"{len(value.setups)} setups, {len(value.requests)} requests"), notes(value.notes)]
    parts += [table(head, rows), cut(len(rows), len(value.cells), "cells")]
    logged = [cell for cell in value.cells[:LIMIT_ROWS] if cell.measured.value()["log"]]
    for cell in logged:
        lines = "\n".join(cell.measured.value()["log"])
        parts.append(fold(f"Log of setup {cell.setup}, request {cell.request}", f"<pre>{escape(lines)}</pre>"))
    return "".join(parts)


def _row(value: Sweep, cell: Cell) -> list[str]:
    measured = cell.measured.value()
    settings = [code(json.dumps(setting)) for setting in value.settings(cell.setup).values()]
    figures = [escape(format(measured[key], how) if measured[key] is not None else "–") for key, _, how in FIGURES]
    said = measured["error"] or measured["text"] or ""
    request = escape(value.request_name(cell.request))
    shown = code(clip(said, LIMIT_CHARACTERS)) if measured["error"] is None else f"<b>{escape(said)}</b>"
    return [str(cell.setup), *settings, request, escape(measured["stage"] or "–"), *figures, shown]


def chart(value: Sweep, *, theme: str = "light") -> Chart:
    """Each setup's mean over its requests: tokens per second of the answer, and the prompt's mean log-probability."""
    names = [_name(value, setup) for setup in range(len(value.setups))]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": title,
            "y": [html.escape(name, quote=False) for name in names],
            "x": [_mean(value, setup, key) for setup in range(len(value.setups))],
            "xaxis": "x" if panel == 0 else "x2",
            "marker": {"color": COLOURS[panel][theme]},
        }
        for panel, (key, title) in enumerate(PANELS)
    ]
    axis = {"gridcolor": GRID[theme], "zeroline": False}
    layout = {
        "height": 120 + 34 * len(names),
        "margin": {"l": 260, "r": 16, "t": 30, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK[theme], "size": 11},
        "xaxis": axis | {"domain": [0, 0.47], "title": {"text": PANELS[0][1]}},
        "xaxis2": axis | {"domain": [0.53, 1], "title": {"text": PANELS[1][1]}},
        "yaxis": {"autorange": "reversed"},
        "showlegend": False,
    }
    lines = [
        f"{name}: " + ", ".join(_told(value, setup, *panel) for panel in PANELS) for setup, name in enumerate(names)
    ]
    figure = {"data": traces, "layout": layout, "config": {"displayModeBar": False}}
    return Chart({MIME: figure, "text/plain": "\n".join(lines)})


def _name(value: Sweep, setup: int) -> str:
    settings = value.settings(setup).items()
    told = ", ".join(f"{name.rpartition('.')[2]}={json.dumps(setting)}" for name, setting in settings)
    return told or f"setup {setup}"


def _mean(value: Sweep, setup: int, key: str) -> Any:
    found = [cell.measured.value()[key] for cell in value.cells if cell.setup == setup]
    known = [one for one in found if one is not None]
    return sum(known) / len(known) if known else None


def _told(value: Sweep, setup: int, key: str, title: str) -> str:
    mean = _mean(value, setup, key)
    return f"{title} {mean:.4g}" if mean is not None else f"{title} not measured"
