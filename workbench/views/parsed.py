"""What the output parser made of the answer: content, reasoning, calls, code, and what went wrong where."""

from __future__ import annotations

import json

from workbench.stages import Parsed
from workbench.values import clip
from workbench.views.html import code, escape, fold, heading, table, wrong
from workbench.views.palette import MONO

LIMIT_CHARACTERS = 8_000


def view(value: Parsed) -> str:
    """The parts in the order in which a client would use them; the raw text last."""
    parts = [heading("Parsed", f"parser {value.parser}")]
    if value.reasoning is not None:
        parts += [heading("Reasoning"), _text(value.reasoning)]
    parts += [heading("Content"), _text(value.content)]
    if value.tool_calls:
        calls = [[code(c.name), code(arguments(c.arguments)), _span(c.span)] for c in value.tool_calls]
        parts += [heading("Tool calls", str(len(calls))), table(("name", "arguments", "characters"), calls)]
    if value.code:
        blocks = [[code(b.language or "none"), escape(b.error or "no fault found"), _span(b.span)] for b in value.code]
        parts += [heading("Code blocks", str(len(blocks))), table(("language", "checked", "characters"), blocks)]
    repairs = [[escape(note.message), _span(note.span)] for note in value.repairs]
    parts += [heading("Repairs"), table(("what", "characters"), repairs)] if repairs else []
    parts += [wrong(f"{note.message} (characters {note.span[0]}–{note.span[1]})") for note in value.errors]
    return "".join([*parts, fold("Raw text", _text(value.raw))])


def arguments(value: object) -> str:
    """A call's arguments: JSON where they parsed, else the text as written."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(text: str) -> str:
    shown = escape(clip(text, LIMIT_CHARACTERS)) or "<i>empty</i>"
    return f'<div style="{MONO};font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere">{shown}</div>'


def _span(span: tuple[int, int]) -> str:
    return escape(f"{span[0]}–{span[1]}")
