"""How far models are from a base: figures with their standard errors, what they are worth; ladders of precisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.views import setup
from workbench.views.damage import BARS, Chart
from workbench.views.figures import GRID, INK, MIME
from workbench.views.html import code, escape, fold, heading, notes, table

if TYPE_CHECKING:
    from workbench.gguf.grid import Grids
    from workbench.quality.ladder import Ladder
    from workbench.quality.result import Candidate, Quality
    from workbench.quality.statistics import Figure

HEAD = ("", "mean KLD", "median", "99 %", "greatest", "same first place", "RMS Δp", "perplexity")
MARKS = ("circle", "diamond", "square", "cross", "x", "triangle-up", "star", "hexagon")


def view(value: Quality) -> str:
    """One row a candidate, the notes, the percentiles and the setups in folds."""
    text = f"{value.chunks:,} chunks of {value.n_ctx:,} tokens, {value.positions:,} positions"
    parts = [heading("Quality", f"against {Path(str(value.base.model)).name}, {text}"), notes(value.notes)]
    pairs = list(zip(value.names, value.candidates, strict=True))
    parts.append(table(HEAD, [[code(name), *_cells(candidate)] for name, candidate in pairs]))
    levels = [percent for percent, _ in value.candidates[0].percentiles] if value.candidates else []
    rows = [[code(name), *(escape(f"{kld:.6f}") for _, kld in candidate.percentiles)] for name, candidate in pairs]
    parts.append(fold("Percentiles of the KL divergence", table(("", *(f"{p:g} %" for p in levels)), rows)))
    parts.append(fold("The base's weights", view_grids(value.reference)))
    return "".join([*parts, fold("The base's setup", setup.view(value.base))])


def _cells(candidate: Candidate) -> list[str]:
    find = candidate.figure
    klds = [find(name) for name in ("mean_kld", "median_kld", "kld_99", "max_kld")]
    shares = [find(name) for name in ("same_top_p", "rms_dp")]
    words = [plus_minus(figure, 6) for figure in klds] + [f"{plus_minus(figure, 3)} %" for figure in shares]
    perplexity = f"{plus_minus(find('mean_ppl_q'), 4)} (base {find('mean_ppl_base').value:.4f})"
    return [f'<span style="white-space:nowrap">{escape(word)}</span>' for word in (*words, perplexity)]


def plus_minus(figure: Figure, digits: int) -> str:
    """`0.052800 ± 0.001200`; the value alone where no uncertainty is known."""
    value = f"{figure.value:.{digits}f}"
    return value if figure.uncertainty is None else f"{value} ± {figure.uncertainty:.{digits}f}"


def view_grids(value: Grids) -> str:
    """Which share of the weights is on which grid."""
    rows = [
        [code(name or "none"), escape(f"{100 * share:.1f} %"), str(sum(t.grid == name for t in value.tensors))]
        for name, share in value.shares.items()
    ]
    return notes([value.words] if value.words else []) + table(("grid", "weights", "matrices"), rows)


def view_ladder(value: Ladder) -> str:
    """One row a rung: bytes, the tensor types really used, the figures where they were measured."""
    figures = HEAD[1:] if value.quality is not None else ()
    rows = []
    for i, rung in enumerate(value.rungs):
        measured = value.measured(i)
        row = [escape(str(rung.recipe)), escape(f"{rung.bytes / 2**20:.1f}"), escape(rung.words)]
        rows.append([*row, *(_cells(measured) if measured else [])])
    parts = [heading("Ladder", f"made of {Path(value.source).name}"), notes(value.notes)]
    parts.append(table(("asked for", "MiB", "tensor types in it", *figures), rows))
    types = [
        [escape(rung.recipe.kind), code(used.type), f"{used.tensors:,}", f"{used.bytes / 2**20:.1f}"]
        for rung in value.rungs
        for used in rung.used
    ]
    return "".join([*parts, fold("Tensor types by bytes", table(("", "type", "tensors", "MiB"), types))])


def chart(value: Quality, *, theme: str = "light") -> Chart:
    """The percentiles of each candidate's KL divergence."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [percent for percent, _ in candidate.percentiles],
            "y": [max(kld, 1e-9) for _, kld in candidate.percentiles],
            "marker": {"symbol": MARKS[i % len(MARKS)], "size": 8, "color": BARS[i % len(BARS)][theme]},
            "line": {"dash": ("solid", "dot", "dash")[i // len(BARS) % 3], "color": BARS[i % len(BARS)][theme]},
        }
        for i, (name, candidate) in enumerate(zip(value.names, value.candidates, strict=True))
    ]
    axes = {"x": "% of the positions are below", "y": "KL divergence, nats"}
    return Chart({MIME: _figure(traces, axes, theme), "text/plain": repr(value)})


def chart_ladder(value: Ladder, *, theme: str = "light") -> Chart:
    """What each rung costs in KL divergence, over its size."""
    measured = [(rung, found) for i, rung in enumerate(value.rungs) if (found := value.measured(i)) is not None]
    klds = [found.figure("mean_kld") for _, found in measured]
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [rung.bytes / 2**20 for rung, _ in measured],
        "y": [kld.value for kld in klds],
        "error_y": {"type": "data", "array": [kld.uncertainty or 0.0 for kld in klds]},
        "text": [escape(str(rung.recipe)) for rung, _ in measured],
        "textposition": "top center",
        "marker": {"size": 10, "color": BARS[0][theme]},
    }
    axes = {"x": "MiB", "y": "mean KL divergence, nats"}
    return Chart({MIME: _figure([trace], axes, theme), "text/plain": repr(value)})


def _figure(traces: list[dict[str, Any]], axes: dict[str, str], theme: str) -> dict[str, Any]:
    layout = {
        "height": 340,
        "margin": {"l": 70, "r": 16, "t": 20, "b": 50},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK[theme], "size": 11},
        "xaxis": {"title": {"text": axes["x"]}, "gridcolor": GRID[theme], "zeroline": False},
        "yaxis": {"title": {"text": axes["y"]}, "gridcolor": GRID[theme], "type": "log"},
        "legend": {"orientation": "h", "y": 1.12, "x": 0},
        "showlegend": len(traces) > 1,
    }
    return {"data": traces, "layout": layout, "config": {"displayModeBar": False}}
