"""What the explorer says in words: the controls' values, times by stage, why a trace ended."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from workbench.errors import WorkbenchError
from workbench.setup import SAMPLING_DEFAULTS, Setup
from workbench.trace import STAGES, Trace
from workbench.widgets.choices import PLAIN, SAMPLING_NAMES, Choices
from workbench.widgets.payload import clean, cleaned
from workbench.widgets.sources import Sources, template_text

LOG_LINES = 6


Place = tuple[int, int | None]


def controls(choices: Choices, sources: Sources, errors: dict[str, str], place: Place | None = None) -> dict[str, Any]:
    """What the page's controls show: `{options, values, placeholders, errors, places}`.

    `place` is the line and the column (from 1) of the template's error.
    """
    values = {name: getattr(choices, name) for name in PLAIN}
    values |= dict.fromkeys(SAMPLING_NAMES, "") | dict(choices.sampling)
    values["template_text"] = template_text(choices)
    texts = {name: clean(value) if isinstance(value, str) else value for name, value in values.items()}
    return {
        "options": cleaned(sources.options(choices)),
        "values": texts,
        "placeholders": unset(choices),
        "errors": {name: clean(text) for name, text in errors.items()},
        "places": {"template": place if "template" in errors else None, "request": _json_error(choices.request_text)},
    }


def _json_error(text: str) -> Place | None:
    """Line and column (from 1) where a text ceases to be JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.lineno, error.colno
    except (ValueError, RecursionError):
        return None
    return None


def unset(choices: Choices) -> dict[str, str]:
    """What applies where a sampling field is left empty: the request's own value, else the default."""
    try:
        applies = Setup().sampling_for(choices.conversation())
    except WorkbenchError:
        applies = asdict(SAMPLING_DEFAULTS)
    return {name: str(applies[name]) for name in SAMPLING_NAMES}


def elapsed(value: Trace | None) -> list[tuple[str, str]]:
    """Each stage that was reached with its time or that it was reused; behind them what the run time did of its own."""
    if value is None:
        return []
    times = value.elapsed_ms.value()
    notes = {"scores": f" ({value.from_cache})" if value.from_cache else ""}
    return [
        (stage, "reused" if stage in value.reused else milliseconds(times[stage]) + notes.get(stage, ""))
        for stage in STAGES
        if stage in value.reused or stage in times
    ] + [("note", clean(note)) for note in value.environment.runtime.value().get("notes", ())]


def milliseconds(time_ms: float) -> str:
    """A duration for people: `3.2 ms`, `480 ms`, `12.4 s`."""
    if time_ms < 10:
        return f"{time_ms:.1f} ms"
    return f"{time_ms:.0f} ms" if time_ms < 1000 else f"{time_ms / 1000:.1f} s"


def trouble_of(value: Trace) -> str:
    """Why the trace ended early, "" where it did not; for a dead host what it was doing and its last lines."""
    if value.stopped is None or value.stopped.error.value().get("code") == "template-error":
        return ""
    error = value.stopped.error.value()
    lines = [error.get("message", "")]
    if error.get("operation"):
        lines += [f"signal: {error.get('signal') or 'none'}; operation: {error['operation']}"]
        lines += [f"settings: {error.get('settings', '')}"]
        lines += ["last lines of llama.cpp's log:", *error.get("log", ())[-LOG_LINES:]]
    return clean("\n".join(lines))
