"""Token ids and pieces: a strip with one box a token, special ones marked, and a table with ids and spans."""

from __future__ import annotations

import html
from collections.abc import Callable

from workbench.stages import Tokens
from workbench.views.html import clipped, code, cut, escape, fold, heading, hexed, notes, table
from workbench.views.palette import FAINT, MONO, TYPES, Pair, style

LIMIT_TOKENS = 1_500
LIMIT_ROWS = 200
STRIPES: tuple[Pair, Pair] = (("#e4e8ee", "#253041"), ("#d3e0ee", "#17304d"))
# Seen only where a viewer drops all styles: there it keeps the tokens apart.
BORDER = '<span style="display:none">│</span>'


def view(value: Tokens) -> str:
    """The strip, what kinds of tokens there are, who added what, and the table."""
    parts = [heading("Tokens", f"{len(value):,}"), kinds(value), strip(value, _plain(value))]
    parts.append(notes((f"token {index} was added by {by}" for index, by in value.added), "Added"))
    parts.append(notes(value.notes))
    if len(value):
        parts.append(fold("Ids, bytes and places", _table(value)))
    return "".join(parts)


def strip(value: Tokens, look: Callable[[int], tuple[Pair, str]]) -> str:
    """One box a token; `look(i)` gives its colours and what is shown on hover."""
    shown = min(len(value), LIMIT_TOKENS)
    box = f"{MONO};font-size:13px;line-height:1.95;white-space:pre-wrap;overflow-wrap:anywhere"
    body = BORDER.join(piece(value.pieces[i], value.types[i], *look(i)) for i in range(shown))
    return f'<div style="{box}">{body or "<i>no tokens</i>"}</div>{cut(shown, len(value), "tokens")}'


def piece(token: bytes, kind: str, colours: Pair, title: str) -> str:
    """One token as a box; a line feed ends the line behind it, as in the text."""
    face = f"{style(colours)};padding:1px 2px;margin-right:2px;border-radius:3px;{TYPES.get(kind, '')}"
    body = html.escape(clipped(token))
    broken = "\n" if body.endswith("\n") else ""
    return f'<code title="{escape(title)}" style="{face}">{body.rstrip(chr(10))}</code>{broken}'


def kinds(value: Tokens) -> str:
    """How many tokens of each type, marked as in the strip."""
    counts = {kind: value.types.count(kind) for kind in TYPES}
    marks = [
        f'<code style="{style(FAINT)};padding:1px 6px;margin-right:6px;{TYPES[kind]}">{kind}: {n:,}</code>'
        for kind, n in counts.items()
        if n
    ]
    return f'<div style="font-size:12px;margin:4px 0">{"".join(marks)}</div>' if marks else ""


def title(value: Tokens, i: int) -> str:
    """What one token is, in words: place, id, type, bytes."""
    return f"#{i} · id {int(value.ids[i])} · {value.types[i]} · bytes {hexed(value.pieces[i])}"


def _plain(value: Tokens) -> Callable[[int], tuple[Pair, str]]:
    return lambda i: (STRIPES[i % 2], title(value, i))


def _table(value: Tokens) -> str:
    by = dict(value.added)
    rows = [
        [
            escape(i),
            escape(int(value.ids[i])),
            code(clipped(value.pieces[i])),
            code(hexed(value.pieces[i]) if value.pieces[i] else ""),
            escape(value.types[i]),
            escape(f"{value.spans[i, 0]}–{value.spans[i, 1]}" if value.spans[i, 0] >= 0 else "not in the text"),
            escape(by.get(i, "")),
        ]
        for i in range(min(len(value), LIMIT_ROWS))
    ]
    head = ("#", "id", "piece", "bytes", "type", "characters", "added by")
    return table(head, rows) + cut(len(rows), len(value), "tokens")
