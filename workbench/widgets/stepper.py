"""A template's execution, event by event, beside the text that it has written so far."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.conversation import Conversation
from workbench.setup import Setup
from workbench.steps import Steps, template_steps
from workbench.views import html_of
from workbench.widgets.copy import CLASS
from workbench.widgets.outputs import CellOutputs
from workbench.widgets.panes import HERE, styles
from workbench.widgets.payload import clean, utf32

SCRIPTS = ("text", "dom", "stepper")


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


class TemplateStepper(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """Arrow keys, the slider or a click move along the steps; `position` is how many of them have happened.

    `steps` are the values that it shows. A static copy stands beside the live view in a saved notebook.
    """

    _esm = script()
    _css = styles()
    source = traitlets.Bytes().tag(sync=True)
    text = traitlets.Bytes().tag(sync=True)
    events: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    pieces: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    variables: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    never: traitlets.List[int] = traitlets.List().tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        super().__init__(
            source=utf32("\n".join(steps.lines)).tobytes(),
            text=utf32(steps.rendered.text or "").tobytes(),
            events=[[*step[:3], clean(step.detail), steps.length(n)] for n, step in enumerate(steps.steps, 1)],
            pieces=[list(piece) for piece in steps.pieces],
            variables=[[clean(one.name), clean(one.value), one.start, one.end] for one in steps.variables],
            never=list(steps.never),
            position=len(steps.steps),
        )
        self._outputs = CellOutputs(self.html)

    def html(self) -> str:
        """What it shows as static HTML."""
        return f'<div class="{CLASS}">{html_of(self.steps)}</div>'

    def __repr__(self) -> str:
        return f"TemplateStepper({len(self.events)} steps, at {self.position})"

    def _ipython_display_(self) -> None:
        self._outputs.display(self, repr(self))


def step_through(
    request: Conversation | dict[str, Any] | list[Any] | str | Path, setup: Setup | str | Path
) -> TemplateStepper:
    """The template of a setup (or of a model, by its path) on a request, step by step, as `transformers` executes it.

    Errors: those of `template_steps`.
    """
    return TemplateStepper(template_steps(request, setup))
