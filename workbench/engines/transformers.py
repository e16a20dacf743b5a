"""The engine `transformers`: chat templates as `apply_chat_template` of the transformers package renders them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from workbench.engines.base import Job
from workbench.engines.limits import Reply, Sandbox

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered

FOLLOWS = "transformers 5.23.0"


@cache
def sandbox() -> Sandbox:
    """The one process in which all templates of this engine render."""
    return Sandbox()


@cache
def _version() -> str:
    import platform
    from importlib.metadata import version

    return f"rules of {FOLLOWS}; jinja2 {version('jinja2')}; Python {platform.python_version()}"


class Transformers:
    """jinja2 set up as transformers sets it up; the package itself is not needed."""

    name = "transformers"

    def missing(self) -> str | None:
        """jinja2, where it is not installed."""
        return None if find_spec("jinja2") else "jinja2"

    def version(self) -> str:
        """Whose rules, and what runs them."""
        return _version()

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        from datetime import datetime

        from workbench.setup import parse_clock
        from workbench.stages import Rendered, RenderError

        choice = _choose(job)
        if choice.text is None:
            return Rendered(self.name, self.version(), None, RenderError("ValueError", choice.note))
        clock = (parse_clock(job.clock) or datetime.now()).isoformat()  # noqa: DTZ005  the user's own time, as transformers tells it
        options = {
            "template": choice.text,
            "special": dict(job.template.special_tokens),
            "clock": clock,
            "track": job.track,
        }
        body = job.conversation.body.text.encode("utf-8", "surrogatepass")
        reply = sandbox().render(options, body, cancel=cancel)
        return _rendered(
            self,
            reply,
            job,
            [*([choice.note] if choice.note else []), *_clock_note(reply, job, clock), *_chance_note(reply)],
        )


class _Choice:
    """The template's text, None where there is none to choose; what to tell about it."""

    def __init__(self, text: str | None, note: str = "") -> None:
        self.text = text
        self.note = note


def _choose(job: Job) -> _Choice:
    """Which of several templates.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/tokenization_utils_base.py#L3319
    """
    named = dict(job.template.named)
    if not named:
        return _Choice(job.template.text)
    if job.template.text:
        named = {"default": job.template.text, **named}
    if job.conversation.tools is not None and "tool_use" in named:
        return _Choice(named["tool_use"], "the template named tool_use was used, as the request has tools")
    if "default" in named:
        return _Choice(named["default"])
    return _Choice(
        None,
        "This model has multiple chat templates with no default specified! Please either pass a chat "
        "template or the name of the template you wish to use to the `chat_template` argument. Available "
        f"template names are {sorted(named)}.",
    )


def _chance_note(reply: Reply) -> list[str]:
    if not reply.plain.get("random_used"):
        return []
    return ["the template draws at random: here always from the same seed, elsewhere each render may differ"]


def _clock_note(reply: Reply, job: Job, clock: str) -> list[str]:
    if not reply.plain.get("clock_used"):
        return []
    return [f"the template asked for the time and was told {clock}" + ("" if job.clock else " (now)")]


def _placed(error: dict[str, Any], place: dict[str, Any] | None) -> dict[str, Any]:
    """The error of the plain run with the column that the tracked run found, where that failed the same way."""
    if place is None or place["type"] != error["type"]:
        return error
    line = error["line"] or place["line"]
    return error | {"line": line, "column": place["column"]}


def _rendered(engine: Transformers, reply: Reply, job: Job, notes: list[str]) -> Rendered:
    from workbench.stages import Event, Rendered, RenderError, Span

    tracked = reply.tracked
    found = reply.plain.get("error")
    error = RenderError(**_placed(found, tracked.get("place"))) if found else None
    spans = [Span(*row) for row in tracked.get("spans", ())]
    if reply.text and not spans:
        spans = [Span(0, len(reply.text), "unknown", None, None, None, False, None)]
    notes += [tracked["note"]] if tracked.get("note") else []
    notes += [f"origins are unknown: following them was {reply.cut}"] if reply.cut and reply.text is not None else []
    notes += [f"{tracked['dropped']:,} more events are not kept"] if tracked.get("dropped") else []
    if not job.track and reply.text is not None:
        notes.append("origins were not asked for")
    return Rendered(
        engine=engine.name,
        version=engine.version(),
        text=reply.text,
        error=error,
        spans=tuple(spans),
        events=tuple(Event(*row) for row in tracked.get("events", ())),
        rewrites=tuple(reply.plain.get("rewrites", ())),
        notes=tuple(notes),
    )
