"""The explorer's static copy: what it shows, as HTML that needs no kernel, no script and no style sheet."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.trace import Trace
from workbench.values import Value
from workbench.views import candidates, html_of, trace
from workbench.views.candidates import Candidates
from workbench.views.html import wrong

# The page looks for this class: beside the live view the copy is hidden.
CLASS = "workbench-copy"


def static_copy(
    value: Trace | None,
    at: Candidates | None,
    pieces: Mapping[int, bytes],
    trouble: str = "",
    under: Value | str | None = None,
) -> str:
    """The trace with every stage, the candidates of the selected position, what went wrong, what stood below."""
    parts = [f'<div class="{CLASS}"><b>Trace explorer, static copy</b>']
    if trouble:
        parts.append(wrong(trouble))
    parts.append(trace.view_with(value, pieces) if value is not None else "<p>nothing was computed yet</p>")
    below = html_of(under) if isinstance(under, Value) else wrong(under) if under else ""
    return "".join([*parts, candidates.view(at), below, "</div>"])
