"""The prompt's text: every stretch on the colour of its origin, its path on hover and in a table."""

from __future__ import annotations

import html

from workbench.stages import Rendered, Span
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, visible, wrong
from workbench.views.palette import MONO, ORIGIN_WORDS, ORIGINS

LIMIT_CHARACTERS = 20_000
LIMIT_SPANS = 400
LIMIT_ROWS = 100


def view(value: Rendered) -> str:
    """The text by origin with a legend, or the error with its place in the template."""
    parts = [heading("Rendered prompt", _aside(value))]
    if value.error:
        parts.append(wrong(error_words(value)))
    if value.text is not None:
        parts += [legend(value), text(value)]
    parts += [notes(value.rewrites, "Rewritten"), notes(value.notes)]
    if value.spans:
        parts.append(fold(f"Where each stretch came from ({len(value.spans):,})", _spans(value)))
    return "".join(parts)


def error_words(value: Rendered) -> str:
    """The template's error in one line, with its line and column where they are known."""
    error = value.error
    if error is None:
        return ""
    where = f" at template line {error.line}" if error.line else ""
    where += f", column {error.column}" if error.line and error.column else ""
    return f"{error.type}{where}: {error.message}"


def origin_words(span: Span) -> str:
    """Where a stretch came from, in words: `messages[0].content, changed on the way; template line 3`."""
    words = span.path or ORIGIN_WORDS[span.origin]
    if span.path and span.offset is not None:
        words += f" from character {span.offset}"
    if not span.verbatim:
        words += ", changed on the way"
    return words + (f"; template line {span.line}" if span.line else "")


def legend(value: Rendered) -> str:
    """The origins that occur, each on its colour with its number of characters."""
    counts: dict[str, int] = {}
    for span in value.spans:
        counts[span.origin] = counts.get(span.origin, 0) + span.end - span.start
    marks = [
        mark(f"{ORIGIN_WORDS[origin]}: {counts[origin]:,} characters", pair, extra="padding:1px 7px;margin-right:6px")
        for origin, pair in ORIGINS.items()
        if counts.get(origin)
    ]
    return f'<div style="font-size:12px;margin:4px 0">{"".join(marks)}</div>' if marks else ""


def text(value: Rendered) -> str:
    """The text itself, cut with a count; without spans it is shown plain."""
    whole = value.text or ""
    shown = min(len(whole), LIMIT_CHARACTERS)
    stretches = []
    for span in value.spans[:LIMIT_SPANS]:
        if span.start >= shown:
            break
        stretch = visible(whole[span.start : min(span.end, shown)])
        stretches.append(mark(stretch, ORIGINS[span.origin], f"{span.origin}: {origin_words(span)}"))
    if value.spans:
        shown = min(shown, value.spans[min(LIMIT_SPANS, len(value.spans)) - 1].end)
    body = "".join(stretches) if value.spans else html.escape(visible(whole[:shown]))
    body = body or "<i>empty text</i>"
    box = f"{MONO};font-size:13px;line-height:1.6;white-space:pre-wrap;overflow-wrap:anywhere"
    return f'<div style="{box}">{body}</div>{cut(shown, len(whole), "characters")}'


def _aside(value: Rendered) -> str:
    size = f", {len(value.text):,} characters" if value.text is not None else ""
    return f"{value.engine} {value.version}{size}"


def _spans(value: Rendered) -> str:
    whole = value.text or ""
    rows = [
        [escape(f"{s.start}–{s.end}"), escape(s.origin), code(origin_words(s)), code(whole[s.start : s.end][:120])]
        for s in value.spans[:LIMIT_ROWS]
    ]
    return table(("characters", "origin", "where", "text"), rows) + cut(len(rows), len(value.spans), "stretches")
