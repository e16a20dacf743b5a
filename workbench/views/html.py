"""The few pieces that every view is made of: escaping, visible whitespace, tables, folds, notes."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

from workbench.values import clip
from workbench.views.palette import FAINT, LINE, MONO, NOTE, WRONG, style

# Characters that have no ink, or that move the ink of others, are written out: nobody is fooled by a text.
HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
PLAIN_SPACE = " "
SHOWN_BYTES = 120  # of one token; a longer one is cut with a count
SHOWN_HEX = 24
LIMIT_NOTES = 100
LIMIT_NOTE = 2_000  # characters of one remark
LIMIT_WRONG = 20_000  # characters of an error


def visible(text: str, *, spaces: bool = False) -> str:
    """`text` with every character that cannot be seen made visible.

    A line feed becomes ↵ and itself, a tab ⇥; other controls, bidirectional ones too, unusual
    spaces and lone surrogates become their code point, ⟨U+202E⟩; with `spaces` a space becomes ·.
    """
    if text.isascii() and text.isprintable():
        return text.replace(PLAIN_SPACE, "·") if spaces else text
    return "".join(_seen(character, spaces) for character in text)


def _seen(character: str, spaces: bool) -> str:
    if character == PLAIN_SPACE:
        return "·" if spaces else character
    category = unicodedata.category(character)
    if category not in HIDDEN_CATEGORIES and category != "Zs":
        return character
    if character == "\n":
        return "↵\n"
    if character == "\t":
        return "⇥"
    return f"⟨U+{ord(character):04X}⟩"


def visible_bytes(piece: bytes, *, spaces: bool = True) -> str:
    r"""A token's bytes as visible text; a byte that is no valid UTF-8 as \xNN, no bytes at all as ∅."""
    return visible(piece.decode("utf-8", "backslashreplace"), spaces=spaces) or "∅"


def clipped(piece: bytes) -> str:
    """A piece as visible text; a very long one cut at a whole character, with a count of the bytes left out."""
    if len(piece) <= SHOWN_BYTES:
        return _one_break(visible_bytes(piece))
    end = next((k for k in range(SHOWN_BYTES, SHOWN_BYTES - 4, -1) if piece[k] & 0xC0 != 0x80), SHOWN_BYTES)
    return f"{_one_break(visible_bytes(piece[:end]))}… +{len(piece) - end:,} bytes"


def _one_break(text: str) -> str:
    """Line feeds in a row end one line only: a token of three hundred takes no page."""
    return re.sub(r"(?:↵\n)+", lambda run: "↵" * (len(run[0]) // 2) + "\n", text)


def hexed(piece: bytes) -> str:
    """A token's bytes in hex, the first of many and how many they are; `none` for no bytes."""
    more = f" … {len(piece):,} bytes" if len(piece) > SHOWN_HEX else ""
    return (piece[:SHOWN_HEX].hex(" ") or "none") + more


def escape(text: object) -> str:
    """`text` for use as HTML content or as an attribute's value; hidden characters are made visible."""
    return html.escape(visible(str(text)), quote=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `head` is plain text, the cells of `rows` are HTML already."""
    cell = f"text-align:left;vertical-align:top;padding:2px 12px 2px 0;border-bottom:1px solid {LINE}"
    top = "".join(f'<th style="{cell};font-weight:600">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f'<td style="{cell}">{item}</td>' for item in row) + "</tr>" for row in rows)
    return f'<table style="border-collapse:collapse;font-size:12px"><tr>{top}</tr>{body}</table>'


def fold(summary: str, content: str, *, is_open: bool = False) -> str:
    """`content` (HTML) under a line of plain text that opens and closes it."""
    how = " open" if is_open else ""
    return (
        f'<details{how} style="margin:6px 0"><summary style="cursor:pointer">{escape(summary)}</summary>'
        f'<div style="margin:6px 0 6px 14px">{content}</div></details>'
    )


def heading(text: str, aside: str = "") -> str:
    """A small heading with a quiet remark behind it; both plain text."""
    remark = f' <span style="{style(FAINT)};font-weight:normal;padding:0 5px">{escape(aside)}</span>' if aside else ""
    return f'<div style="font-weight:600;margin:10px 0 4px">{escape(text)}{remark}</div>'


def code(text: str) -> str:
    """Plain text in the code face, on one line or several, as it is."""
    return f'<code style="{MONO}">{escape(text)}</code>'


def mark(text: str, colours: tuple[str, str], title: str = "", extra: str = "") -> str:
    """Plain text on a coloured ground, `title` shown on hover; `text` must have been made visible."""
    hover = f' title="{escape(title)}"' if title else ""
    return f'<span{hover} style="{style(colours)};{extra}">{html.escape(text)}</span>'


def notes(items: Iterable[str], label: str = "Note") -> str:
    """Remarks that the user should read, one a line; nothing for none."""
    every = list(items)
    shown = "".join(
        f'<div style="{style(NOTE)};padding:3px 8px;margin:3px 0"><b>{escape(label)}:</b> '
        f"{escape(clip(item, LIMIT_NOTE))}</div>"
        for item in every[:LIMIT_NOTES]
    )
    return shown + cut(min(len(every), LIMIT_NOTES), len(every), "remarks")


def wrong(text: str) -> str:
    """An error in words."""
    shown = escape(clip(text, LIMIT_WRONG))
    return f'<div style="{style(WRONG)};padding:4px 8px;margin:3px 0;white-space:pre-wrap">{shown}</div>'


def cut(shown: int, total: int, what: str) -> str:
    """How much is left out; nothing where all is shown."""
    left = f"… {total - shown:,} more {what} not shown (of {total:,})"
    return "" if shown >= total else f'<div style="{style(FAINT)};padding:2px 6px">{left}</div>'
