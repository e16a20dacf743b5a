"""Stage values as messages for the page: small facts as JSON, everything long as flat arrays in buffers.

Texts travel as UTF-32, so an offset is the same number on both sides and lone surrogates survive; token
pieces travel as bytes. The page decides how each is shown; nothing here is markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from workbench.conversation import Conversation
from workbench.nesting import indented
from workbench.parsers import preserved_tokens
from workbench.stages import ORIGINS, TOKEN_TYPES, Generation, Parsed, Rendered, Scores, Tokens
from workbench.values import clip, finite
from workbench.views.generation import samplers, why
from workbench.views.html import visible
from workbench.views.parsed import arguments
from workbench.views.rendered import error_words

_TITLE = 200  # characters of a role or a field's name that are shown
# dtype on the wire -> its name there
WIRE = {"i32": "<i4", "u32": "<u4", "f32": "<f4", "u8": "u1"}


class Payload(NamedTuple):
    """`facts` is plain JSON; `arrays` names and types the `buffers`, in order."""

    facts: dict[str, Any]
    arrays: list[tuple[str, str]]
    buffers: list[bytes]


def messages(value: Conversation) -> Payload:
    """Each message and tool as a group of fields; a field is a path, a label and [start, end) of one long text."""
    text = _Texts()
    groups = [_message(i, message, text) for i, message in enumerate(value.messages)]
    for i, tool in enumerate(value.tools or []):
        path = f"tools[{i}]"
        fields = [_field(path, "", _dump(tool), text)]
        groups.append({"kind": "tool", "path": path, "title": f"tool {i}", "fields": fields})
    return _payload({"groups": groups, "notes": list[str]()}, text=("u32", text.joined()))


def rendered(value: Rendered) -> Payload:
    """The text and its spans: start, end, origin, path, line, column, verbatim, offset of each (-1: none)."""
    paths: dict[str | None, int] = {}
    rows = np.empty((len(value.spans), 8), np.int32)
    for i, s in enumerate(value.spans):
        path = -1 if s.path is None else paths.setdefault(s.path, len(paths))
        offset = -1 if s.offset is None else s.offset
        rows[i] = (s.start, s.end, ORIGINS.index(s.origin), path, s.line or -1, s.column or -1, s.verbatim, offset)
    present = {span.origin for span in value.spans}
    facts = {
        "engine": clean(f"{value.engine} {value.version}"),
        "error": clean(error_words(value)),
        "rewrites": [clean(item) for item in value.rewrites],
        "notes": [clean(item) for item in value.notes],
        "paths": [clean(str(path)) for path in paths],
        "origins": [origin for origin in ORIGINS if origin in present],
    }
    if value.text is None:
        return _payload(facts, spans=("i32", rows))
    return _payload(facts, spans=("i32", rows), text=("u32", utf32(value.text)))


def tokens(value: Tokens) -> Payload:
    """Ids, pieces, types and spans, and who added what."""
    facts = {
        "added": [{"index": index, "by": clean(by)} for index, by in value.added],
        "notes": [clean(note) for note in value.notes],
    }
    return _payload(facts, spans=("i32", value.spans), **_pieces(value.ids, value.pieces, value.types))


def scores(value: Scores) -> Payload:
    """Log-probability, rank, entropy and margin; row i is about token i + 1."""
    known = value.logprob[:-1]
    return _payload(
        {"mean": float(known.mean()) if len(known) else None},
        logprob=("f32", value.logprob),
        rank=("i32", value.rank),
        entropy=("f32", value.entropy),
        margin=("f32", value.margin),
    )


def generation(value: Generation) -> Payload:
    """The answer's tokens, each with its place in the text that the output parser reads."""
    steps = value.steps
    facts = {
        "stop_reason": value.stop_reason,
        "stopped": clean(why(value)),
        "samplers": [samplers(step) for step in steps],
    }
    return _payload(
        facts,
        spans=("i32", step_spans(value, value.answer(preserved_tokens()))),
        logprob=("f32", np.array([step.logprob for step in steps], np.float32)),
        rank=("i32", np.array([step.rank for step in steps], np.int32)),
        entropy=("f32", np.array([step.entropy for step in steps], np.float32)),
        **_pieces(value.ids, [step.piece for step in steps], [step.type for step in steps]),
    )


def parsed(value: Parsed) -> Payload:
    """The parts that the parser found, each with its place in the raw text (-1, -1 where it has none)."""
    text = _Texts()
    parts = []
    if value.reasoning is not None:
        parts.append(_part("reasoning", "reasoning", value.reasoning, _find(value, value.reasoning), text))
    parts.append(_part("content", "content", value.content, _find(value, value.content), text))
    parts += [_part("call", f"call {c.name}", arguments(c.arguments), c.span, text) for c in value.tool_calls]
    for block in value.code:
        label = f"code {block.language or '(no language)'}: {block.error or 'no fault found'}"
        parts.append(_part("error" if block.error else "code", label, block.code, block.span, text))
    for kind, found in (("repair", value.repairs), ("error", value.errors)):
        parts += [_part(kind, kind, note.message, note.span, text) for note in found]
    return _payload({"parser": value.parser, "parts": parts}, text=("u32", text.joined()))


def of_stage(name: str, value: Any) -> Payload:
    """The payload of the stage `name` ("messages" for the request itself)."""
    return PAYLOADS[name](value)


def step_spans(value: Generation, raw: str) -> np.ndarray[Any, Any]:
    """[start, end) of each step in the parser's text, code points, (n, 2) int32; (-1, -1) for a step not in it."""
    spans = np.full((len(value.steps), 2), -1, np.int32)
    at, pending = 0, b""
    for i, step in enumerate(value.steps):
        if step.type == "control" and not raw.startswith(step.piece.decode("utf-8", "backslashreplace"), at):
            continue
        before = at + len(pending.decode("utf-8", "ignore"))
        pending += step.piece
        size = len(pending.decode("utf-8", "backslashreplace"))
        end = min(len(raw), at + size)
        spans[i] = (min(before, len(raw)), end)
        if _whole(pending):
            at, pending = end, b""
    return spans


def utf32(text: str) -> np.ndarray[Any, Any]:
    """The text's code points, uint32; lone surrogates as they are."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def clean(text: str) -> str:
    """A short text for the JSON part: lone surrogates, which it cannot carry, written out."""
    if text.isascii():
        return text
    return "".join(visible(c) if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)


def cleaned(facts: Any) -> Any:
    """Facts in which every text is clean; lists and tuples become lists. They are not deep."""
    if isinstance(facts, str):
        return clean(facts)
    if isinstance(facts, dict):
        return {cleaned(name): cleaned(value) for name, value in facts.items()}
    return [cleaned(item) for item in facts] if isinstance(facts, list | tuple) else facts


class _Texts:
    """Many texts in one; each is known by its [start, end)."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def add(self, text: str) -> tuple[int, int]:
        self.parts.append(text)
        self.size += len(text)
        return self.size - len(text), self.size

    def joined(self) -> np.ndarray[Any, Any]:
        return utf32("".join(self.parts))


def _message(index: int, message: dict[str, Any], text: _Texts) -> dict[str, Any]:
    path = f"messages[{index}]"
    role = message.get("role")
    fields = []
    for name, item in message.items():
        if name != "role" or not isinstance(item, str):
            fields += _fields(f"{path}.{name}", "" if name == "content" else name, item, text)
    title = role if isinstance(role, str) else "no role"
    return {"kind": "message", "path": path, "title": clean(clip(title, _TITLE)), "fields": fields}


def _fields(path: str, label: str, item: Any, text: _Texts) -> list[dict[str, Any]]:
    """One field for a text, one for each text inside a list or an object; anything else as JSON."""
    if isinstance(item, str):
        return [_field(path, label, item, text)]
    if isinstance(item, list) and item and path.count("[") < 4:
        return [f for i, one in enumerate(item) for f in _fields(f"{path}[{i}]", f"{label}[{i}]", one, text)]
    if isinstance(item, dict) and item and path.count(".") < 5 and "arguments" not in path:
        return [f for name, one in item.items() for f in _fields(f"{path}.{name}", f"{label}.{name}", one, text)]
    return [_field(path, label, _dump(item), text) | {"absent": "null" if item is None else ""}]


def _field(path: str, label: str, content: str, text: _Texts) -> dict[str, Any]:
    start, end = text.add(content)
    return {"path": clean(path), "label": clean(clip(label, _TITLE)), "start": start, "end": end, "absent": ""}


def _part(kind: str, label: str, content: str, span: tuple[int, int], text: _Texts) -> dict[str, Any]:
    start, end = text.add(content)
    where = [int(span[0]), int(span[1])]
    return {"kind": kind, "label": clean(clip(label, _TITLE)), "start": start, "end": end, "span": where}


def _find(value: Parsed, part: str) -> tuple[int, int]:
    at = value.raw.find(part) if part else -1
    return (at, at + len(part)) if at >= 0 else (-1, -1)


def _dump(value: Any) -> str:
    return "" if value is None else indented(value, 1)


def _whole(piece: bytes) -> bool:
    """Whether no character is cut off at the end (a byte that can never become one counts as whole)."""
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason != "unexpected end of data"
    return True


def _pieces(ids: Any, pieces: Sequence[bytes], types: Iterable[str]) -> dict[str, tuple[str, Any]]:
    offsets = np.zeros(len(pieces) + 1, np.int32)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return {
        "ids": ("i32", ids),
        "pieces": ("u8", np.frombuffer(b"".join(pieces), np.uint8)),
        "offsets": ("i32", offsets),
        "types": ("u8", [TOKEN_TYPES.index(kind) for kind in types]),
    }


def _payload(facts: dict[str, Any], **arrays: tuple[str, Any]) -> Payload:
    names = [(name, kind) for name, (kind, _) in arrays.items()]
    buffers = [np.ascontiguousarray(array, WIRE[kind]).tobytes() for kind, array in arrays.values()]
    return Payload(finite(facts), names, buffers)


PAYLOADS: dict[str, Callable[[Any], Payload]] = {
    "messages": messages,
    "rendered": rendered,
    "tokens": tokens,
    "scores": scores,
    "generation": generation,
    "parsed": parsed,
}
