"""A template's execution, event by event, beside the text that it has written so far."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.conversation import Conversation
from workbench.engines import Job, engine_named, resolve_template
from workbench.errors import BadRequest
from workbench.gguf.header import read_header
from workbench.setup import Setup
from workbench.stages import Rendered
from workbench.widgets.panes import HERE, styles
from workbench.widgets.payload import clean, utf32

SCRIPTS = ("text", "dom", "stepper")
LIMIT_EVENTS = 20_000


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def steps(rendered: Rendered) -> list[list[Any]]:
    """The events as rows, and where the template's own text was written, which is no event: they tile the text."""
    rows: list[list[Any]] = []
    at = 0
    for event in rendered.events[:LIMIT_EVENTS]:
        rows += _literal(rendered, at, event.start)
        rows.append([*event[:3], clean(event.detail), event.start, event.end])
        at = max(at, event.end)
    return rows + _literal(rendered, at, len(rendered.text or ""))


def _literal(rendered: Rendered, start: int, end: int) -> list[list[Any]]:
    span = rendered.span_at(start)
    if start >= end or span is None:
        return []
    return [["text", span.line or 1, span.column or 1, "", start, end]]


class TemplateStepper(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """Arrow keys, the slider or a click move along the events; `position` is how many of them have happened.

    `rendered` is the render whose events are shown.
    """

    _esm = script()
    _css = styles()
    source = traitlets.Bytes().tag(sync=True)
    text = traitlets.Bytes().tag(sync=True)
    events: traitlets.List[list[Any]] = traitlets.List().tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)

    def __init__(self, rendered: Rendered, template: str) -> None:
        self.rendered = rendered
        rows = steps(rendered)
        written = rendered.text if rendered.text is not None else ""
        super().__init__(
            source=utf32(template).tobytes(), text=utf32(written).tobytes(), events=rows, position=len(rows)
        )

    def __repr__(self) -> str:
        return f"TemplateStepper({len(self.events)} events, at {self.position})"


def step_through(
    request: Conversation | dict[str, Any] | list[Any] | str | Path, setup: Setup | str | Path
) -> TemplateStepper:
    """The template of a setup (or of a model, by its path) on a request, step by step, as `transformers` executes it.

    Errors: `WorkbenchError` where the request, the setup or the model's header cannot be read, or there is no template;
    `BadRequest` where the template's steps could not be followed.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    template = resolve_template(setup, read_header(setup.model) if setup.model else None)
    conversation = Conversation.of(request)
    clock = setup.effective()["template"]["clock"]
    rendered = engine_named("transformers").render(Job(conversation, template, clock))
    if not rendered.events and rendered.text:
        raise BadRequest("the steps of this template could not be followed", "; ".join(rendered.notes))
    named = dict(template.named)
    text = (
        named["tool_use"] if conversation.tools and "tool_use" in named else template.text or named.get("default", "")
    )
    return TemplateStepper(rendered, text)
