"""A request: each message with its role and fields as sent, the tools and the other fields of the body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from workbench.conversation import SAMPLING_FIELDS, Conversation
from workbench.nesting import indented
from workbench.values import clip
from workbench.views.html import code, cut, escape, fold, heading, notes, table
from workbench.views.palette import MONO

LIMIT_MESSAGES = 200
LIMIT_CHARACTERS = 4_000  # of one field
LIMIT_TOTAL = 100_000  # of all messages, and of all tools
LIMIT_FIELDS = 100
LIMIT_NAME = 200


def view(value: Conversation) -> str:
    """Every message as a row: its place, role and fields."""
    messages = value.messages
    rows = _within(LIMIT_TOTAL, ([escape(i), code(_role(m)), _fields(m)] for i, m in enumerate(messages)))
    parts = [heading("Messages", f"{len(messages):,}"), table(("", "role", "content"), rows)]
    parts.append(cut(len(rows), len(messages), "messages"))
    if value.tools:
        tools = _within(LIMIT_TOTAL, ([_json(tool)] for tool in value.tools))
        listed = "".join(shown for (shown,) in tools) + cut(len(tools), len(value.tools), "tools")
        parts.append(fold(f"Tools ({len(value.tools)})", listed))
    other = {k: v for k, v in value.data.items() if k not in ("messages", "tools")}
    if other:
        rows = _within(LIMIT_TOTAL, _other(other))
        listed = table(("field", "value"), rows) + cut(len(rows), len(other), "fields")
        parts.append(fold(f"Other fields ({len(other)})", listed))
    parts.append(notes(_remarks(value)))
    return "".join(parts)


def _within(limit: int, rows: Iterable[list[str]]) -> list[list[str]]:
    """The first rows, as many as have `limit` characters of HTML together: at most `LIMIT_MESSAGES`, at least one."""
    found: list[list[str]] = []
    size = 0
    for row in islice(rows, LIMIT_MESSAGES):
        size += sum(map(len, row))
        if found and size > limit:
            break
        found.append(row)
    return found


def _role(message: dict[str, Any]) -> str:
    return clip(str(message.get("role", "no role")), LIMIT_NAME)


def _fields(message: dict[str, Any]) -> str:
    content = message.get("content")
    parts = [_text(content) if isinstance(content, str) else _json(content)] if "content" in message else []
    others = [(name, item) for name, item in message.items() if name not in ("role", "content")]
    for name, item in others[:LIMIT_FIELDS]:
        shown = _text(item) if isinstance(item, str) else _json(item)
        parts.append(f"<div><b>{escape(clip(name, LIMIT_NAME))}</b> {shown}</div>")
    parts.append(cut(min(len(others), LIMIT_FIELDS), len(others), "fields"))
    return "".join(parts) or "<i>no fields</i>"


def _text(text: str) -> str:
    return f'<div style="{MONO};white-space:pre-wrap">{escape(clip(text, LIMIT_CHARACTERS)) or "<i>empty</i>"}</div>'


def _json(value: Any) -> str:
    text = indented(value, 1)
    # Line feeds of the layout are not part of the data: they are not marked.
    lines = "\n".join(escape(line) for line in clip(text, LIMIT_CHARACTERS).split("\n"))
    return f'<div style="{MONO};white-space:pre-wrap">{lines}</div>'


def _other(fields: dict[str, Any]) -> Iterator[list[str]]:
    return ([code(clip(name, LIMIT_NAME)), _json(item)] for name, item in fields.items())


def _remarks(value: Conversation) -> list[str]:
    odd = [n for n in SAMPLING_FIELDS if n in value.data and value.data[n] is None]
    return [f"null in the request, so the default applies: {', '.join(odd)}"] if odd else []
