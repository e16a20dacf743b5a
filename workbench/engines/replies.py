"""What a rendering process answered, as the value that everybody else sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.engines.base import Engine, Job
from workbench.engines.limits import Reply
from workbench.engines.serving import fault_of

if TYPE_CHECKING:
    from workbench.stages import Rendered


def rendered(engine: Engine, reply: Reply, job: Job, notes: list[str]) -> Rendered:
    """The reply of `engine`'s process to `job`, with what there is to say about it."""
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


def refused(engine: Engine, kind: str, message: str) -> Rendered:
    """A render that ended before it began: `kind` and `message` of the error."""
    from workbench.stages import Rendered, RenderError

    return Rendered(engine.name, engine.version(), None, RenderError(kind, message))


def faulty(engine: Engine, fault: Exception) -> Rendered:
    """What there is to show where the workbench itself failed: the fault, and where in the code it was."""
    from workbench.stages import Rendered, RenderError

    try:
        version = engine.version()
    except Exception:  # noqa: BLE001  it may be what failed
        version = "unknown version"
    return Rendered(engine.name, version, None, RenderError(**fault_of(fault)))


def clock_of(job: Job) -> str:
    """The time that the template is told, as ISO text. Errors: `BadRequest` for a clock that is no time."""
    from datetime import datetime

    from workbench.setup import parse_clock

    return (parse_clock(job.clock) or datetime.now()).isoformat()  # noqa: DTZ005  the user's own time, as transformers tells it


def clock_note(reply: Reply, job: Job, clock: str) -> list[str]:
    """What to say where the template asked for the time."""
    if not reply.plain.get("clock_used"):
        return []
    return [f"the template asked for the time and was told {clock}" + ("" if job.clock else " (now)")]


def body_of(job: Job) -> bytes:
    """The request as UTF-8 JSON, as rendering processes take it."""
    return job.conversation.body.text.encode("utf-8", "surrogatepass")


def _placed(error: dict[str, Any], place: dict[str, Any] | None) -> dict[str, Any]:
    """The error of the plain run with the column that the tracked run found, where that failed the same way."""
    if place is None or place["type"] != error["type"]:
        return error
    line = error["line"] or place["line"]
    return error | {"line": line, "column": place["column"]}
