"""Replace one field of a request by another text of the same shape: exactly its spans may change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.stages import Rendered

CLOCK = "2024-07-26T14:30:00"
Verdict = Literal["exact", "branches", "unknown", "false"]


class Field(NamedTuple):
    """A text or number of a request: the keys that lead to it, its path as spans write it, its value."""

    keys: tuple[Any, ...]
    path: str
    value: Any


class Outcome(NamedTuple):
    """What replacing a field did; `detail` shows the first character that should not have changed."""

    verdict: Verdict
    path: str
    detail: str = ""


def fields_of(body: dict[str, Any]) -> Iterator[Field]:
    """Every text and number that a template may print."""
    for name in ("messages", "tools", "documents", "chat_template_kwargs"):
        if body.get(name):
            yield from _below(body[name], (name,), name)


def _below(value: Any, keys: tuple[Any, ...], path: str) -> Iterator[Field]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _below(item, (*keys, key), f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _below(item, (*keys, index), f"{path}[{index}]")
    elif value and isinstance(value, str | int | float) and not isinstance(value, bool):
        yield Field(keys, path, value)


def reshaped(value: Any) -> Any:
    """Another value of the same shape: letters stay letters of their case, digits digits; tags and entities stay."""
    if isinstance(value, int):
        return int(reshaped(str(value)))
    if isinstance(value, float):
        return float(reshaped(str(value)))
    parts = re.split(r"(</?\w+>|&\w+;)", value)
    return "".join(part if index % 2 else "".join(map(_next, part)) for index, part in enumerate(parts))


def _next(character: str) -> str:
    if character in "zZ":
        return chr(ord(character) - 25)
    if character == "9":
        return "1"
    return chr(ord(character) + 1) if re.match("[A-Za-z0-8]", character) else character


def replaced(body: dict[str, Any], field: Field) -> tuple[dict[str, Any], Any]:
    """The body with the field reshaped, and the new value."""
    body = json.loads(json.dumps(body))
    target: Any = body
    for key in field.keys[:-1]:
        target = target[key]
    target[field.keys[-1]] = reshaped(field.value)
    return body, target[field.keys[-1]]


def outcomes(
    template: Template, body: dict[str, Any], only: str = "", *, engine: str = "transformers"
) -> Iterator[Outcome]:
    """One outcome for each field whose path begins with `only`."""
    first = render(Conversation.from_dict(body), template, engine=engine, clock=CLOCK)
    if first.text is None:
        return
    for field in fields_of(body):
        if field.path.startswith(only):
            changed, value = replaced(body, field)
            second = render(Conversation.from_dict(changed), template, engine=engine, clock=CLOCK)
            yield judged(first, second, field.path, value)


def judged(first: Rendered, second: Rendered, path: str, value: Any) -> Outcome:
    """Whether exactly the field's spans changed.

    A change elsewhere is forgiven only where the template or the engine branched: seen in the events, in the request
    that was handed on, or, where neither is known, in another length.
    """
    if second.text is None or _flow(first) != _flow(second) or _handed(first) != _handed(second):
        return Outcome("branches", path)
    if len(first.text or "") != len(second.text) and not (first.events and second.events):
        return Outcome("branches", path)
    fault = _fault(first, second, path, value)
    if not fault:
        return Outcome("exact", path)
    return Outcome("unknown" if fault == "unknown" else "false", path, fault)


def _flow(rendered: Rendered) -> list[tuple[Any, ...]]:
    kept = [e for e in rendered.events if e.kind in ("if", "loop", "call", "output", "set")]
    return [(e.kind, e.line, e.column, e.detail if e.kind == "if" else "") for e in kept]


def _handed(rendered: Rendered) -> Any:
    """The shape of the request that an engine handed to its template."""
    return _shape(rendered.request.value()) if rendered.request is not None else None


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return len(value) if isinstance(value, str) else type(value).__name__


def _fault(first: Rendered, second: Rendered, path: str, value: Any) -> str:
    old, new = first.text or "", second.text or ""
    if len(old) != len(new):
        return f"length {len(old)} became {len(new)}"
    for span in first.spans:
        before, after = old[span.start : span.end], new[span.start : span.end]
        mine = span.path is not None and (path == span.path or path.startswith((span.path + ".", span.path + "[")))
        if span.verbatim and span.path == path and after != value[span.offset : (span.offset or 0) + len(after)]:
            return f"{before!r} is not from offset {span.offset}: now {after!r}"
        if not mine and before != after:
            return "unknown" if span.origin == "unknown" else f"{span.origin} {span.path} {before!r} became {after!r}"
    return ""
