"""A request: each message with its role and fields as sent, the tools and the other fields of the body."""

from __future__ import annotations

from typing import Any

from workbench.conversation import SAMPLING_FIELDS, Conversation
from workbench.nesting import indented
from workbench.values import clip
from workbench.views.html import code, cut, escape, fold, heading, notes, table
from workbench.views.palette import MONO

LIMIT_MESSAGES = 200
LIMIT_CHARACTERS = 4_000


def view(value: Conversation) -> str:
    """Every message as a row: its place, role and fields."""
    messages = value.messages
    rows = [[escape(i), code(_role(m)), _fields(m)] for i, m in enumerate(messages[:LIMIT_MESSAGES])]
    parts = [heading("Messages", f"{len(messages):,}"), table(("", "role", "content"), rows)]
    parts.append(cut(len(rows), len(messages), "messages"))
    if value.tools:
        parts.append(fold(f"Tools ({len(value.tools)})", "".join(_json(tool) for tool in value.tools)))
    other = {k: v for k, v in value.data.items() if k not in ("messages", "tools")}
    if other:
        parts.append(fold(f"Other fields ({len(other)})", table(("field", "value"), _other(other))))
    parts.append(notes(_remarks(value)))
    return "".join(parts)


def _role(message: dict[str, Any]) -> str:
    return str(message.get("role", "no role"))


def _fields(message: dict[str, Any]) -> str:
    content = message.get("content")
    parts = [_text(content) if isinstance(content, str) else _json(content)] if "content" in message else []
    for name, item in message.items():
        if name not in ("role", "content"):
            parts.append(f"<div><b>{escape(name)}</b> {_text(item) if isinstance(item, str) else _json(item)}</div>")
    return "".join(parts) or "<i>no fields</i>"


def _text(text: str) -> str:
    return f'<div style="{MONO};white-space:pre-wrap">{escape(clip(text, LIMIT_CHARACTERS)) or "<i>empty</i>"}</div>'


def _json(value: Any) -> str:
    text = indented(value, 1)
    # Line feeds of the layout are not part of the data: they are not marked.
    lines = "\n".join(escape(line) for line in clip(text, LIMIT_CHARACTERS).split("\n"))
    return f'<div style="{MONO};white-space:pre-wrap">{lines}</div>'


def _other(fields: dict[str, Any]) -> list[list[str]]:
    return [[code(name), _json(item)] for name, item in fields.items()]


def _remarks(value: Conversation) -> list[str]:
    unknown = value.unknown_fields
    remarks = [f"fields kept but without meaning here: {', '.join(unknown)}"] if unknown else []
    odd = [n for n in SAMPLING_FIELDS if n in value.data and value.data[n] is None]
    return remarks + ([f"null in the request, so the default applies: {', '.join(odd)}"] if odd else [])
