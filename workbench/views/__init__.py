"""Static HTML of any value: inline styles only, every text escaped, still there without a kernel.

JupyterLab's sanitizer drops `<style>`, `<script>`, `id` and `data-*`; some viewers drop every style.
So a view is plain tags with `style=` and `title=`, and what matters is in its text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from workbench.values import clip
from workbench.views import (
    branches,
    conversation,
    damage,
    devices,
    doctor,
    environment,
    error,
    fields,
    generation,
    header,
    layers,
    lens,
    pairs,
    parsed,
    quality,
    reach,
    rendered,
    renders,
    sampling,
    scores,
    setup,
    steps,
    strip,
    sweep,
    switches,
    tokens,
    tokens_alignment,
    tokens_text,
    trace,
    variants,
    versus,
    vocabulary,
)
from workbench.views.html import escape, notes

# Class name -> its view. By name, so that showing one value does not load the rooms of the others.
VIEWS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("Conversation", conversation.view),
    ("Setup", setup.view),
    ("Rendered", rendered.view),
    ("Renders", renders.view),
    ("Agreement", renders.view_agreement),
    ("Rewritten", renders.view_rewritten),
    ("Reach", reach.view),
    ("Measured", fields.view),
    ("Steps", steps.view),
    ("Tokens", tokens.view),
    ("TokenAlignment", tokens_alignment.view),
    ("Effect", tokens_alignment.view_effect),
    ("Beside", tokens_alignment.view_beside),
    ("RoundTrip", tokens_text.view_round_trip),
    ("Injection", tokens_text.view_injection),
    ("Vocabulary", vocabulary.view),
    ("VocabularyEntry", vocabulary.view_entry),
    ("Switches", switches.view),
    ("TokenFacts", strip.view),
    ("Scores", scores.view),
    ("Surprises", scores.view_surprises),
    ("ScoresPair", pairs.view),
    ("NoiseFloor", pairs.view_floor),
    ("Lens", lens.view),
    ("Drift", layers.view),
    ("TensorGroups", layers.view_groups),
    ("Branches", branches.view),
    ("Generation", generation.view),
    ("SamplerTable", sampling.view_table),
    ("SamplerTrace", sampling.view_trace),
    ("Chains", sampling.view_chains),
    ("Preset", sampling.view_preset),
    ("Presets", sampling.view_presets),
    ("Effective", sampling.view_effective),
    ("Answers", sampling.view_answers),
    ("Redrawn", sampling.view_redrawn),
    ("Parsed", parsed.view),
    ("Trace", trace.view),
    ("Environment", environment.view),
    ("Environments", environment.view_pair),
    ("Header", header.view),
    ("Devices", devices.view),
    ("Doctor", doctor.view),
    ("Memory", devices.view_memory),
    ("Sweep", sweep.view),
    ("Versus", versus.view),
    ("Side", versus.view_side),
    ("Grids", quality.view_grids),
    ("Quality", quality.view),
    ("Ladder", quality.view_ladder),
    ("Variants", variants.view),
    ("Damage", damage.view),
    ("Paired", damage.view_paired),
    ("WorkbenchError", error.view),
)

# Class name -> its chart.
CHARTS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("Quality", quality.chart),
    ("Ladder", quality.chart_ladder),
    ("Variants", variants.chart),
    ("Damage", damage.chart),
    ("Paired", damage.chart_paired),
    ("Sweep", sweep.chart),
    ("Versus", versus.chart),
    ("ScoresPair", pairs.chart),
    ("Lens", lens.chart),
    ("Drift", layers.chart),
    ("TensorGroups", layers.chart_groups),
)


LIMIT_PAGE = 2_000_000  # characters of one value's HTML
LIMIT_TEXT = 20_000  # characters of a text repr


def chart_of(value: Any, *, theme: str) -> Any:
    """`value` as a chart that a notebook draws."""
    return dict(CHARTS)[type(value).__name__](value, theme=theme)


def html_of(value: Any) -> str:
    """`value` as static HTML; its text repr where it has no view or the view fails (which is then named).

    Under pytest a failing view raises.
    """
    views = dict(VIEWS)
    for kind in type(value).__mro__:
        if kind.__name__ in views:
            return _shown(value, kind.__name__, views[kind.__name__])
    return _as_text(value)


def _shown(value: Any, name: str, view: Callable[[Any], str]) -> str:
    try:
        page = view(value)
        return page if len(page) <= LIMIT_PAGE else _too_large(value, name, len(page))
    except Exception as failure:  # whatever the view does, the value must not be lost
        if "PYTEST_CURRENT_TEST" in os.environ:
            raise
        return f"<p><b>The view of {escape(name)} failed:</b> {escape(repr(failure))}</p>{_as_text(value)}"


def _too_large(value: Any, name: str, size: int) -> str:
    """In place of a page that no browser shows in a moment: what it would have been, and the text repr."""
    whole = f"{name} is too large to be shown: {size / 1e6:,.1f} MB of HTML; shown is its short form, "
    return notes([whole + "to_dict() and to_frame() have the whole"]) + _as_text(value)


def _as_text(value: Any) -> str:
    return f'<pre style="white-space:pre-wrap">{escape(clip(repr(value), LIMIT_TEXT))}</pre>'
