"""Static HTML of any value: inline styles only, every text escaped, still there without a kernel.

JupyterLab's sanitizer drops `<style>`, `<script>`, `id` and `data-*`; some viewers drop every style.
So a view is plain tags with `style=` and `title=`, and what matters is in its text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from workbench.views import (
    conversation,
    damage,
    environment,
    error,
    generation,
    header,
    parsed,
    reach,
    rendered,
    renders,
    scores,
    setup,
    tokens,
    trace,
)
from workbench.views.html import escape

# Class name -> its view. By name, so that showing one value does not load the rooms of the others.
VIEWS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("Conversation", conversation.view),
    ("Setup", setup.view),
    ("Rendered", rendered.view),
    ("Renders", renders.view),
    ("Agreement", renders.view_agreement),
    ("Reach", reach.view),
    ("Tokens", tokens.view),
    ("Scores", scores.view),
    ("Generation", generation.view),
    ("Parsed", parsed.view),
    ("Trace", trace.view),
    ("Environment", environment.view),
    ("Header", header.view),
    ("Damage", damage.view),
    ("Paired", damage.view_paired),
    ("WorkbenchError", error.view),
)

# Class name -> its chart.
CHARTS: tuple[tuple[str, Callable[..., Any]], ...] = (("Damage", damage.chart), ("Paired", damage.chart_paired))


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
        return view(value)
    except Exception as failure:  # whatever the view does, the value must not be lost
        if "PYTEST_CURRENT_TEST" in os.environ:
            raise
        return f"<p><b>The view of {escape(name)} failed:</b> {escape(repr(failure))}</p>{_as_text(value)}"


def _as_text(value: Any) -> str:
    return f'<pre style="white-space:pre-wrap">{escape(repr(value))}</pre>'
