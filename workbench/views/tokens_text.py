"""Tokens against their text: the round trip, and text of a request that became special tokens."""

from __future__ import annotations

from workbench.compare.injection import Injected, Injection
from workbench.compare.round_trip import RoundTrip
from workbench.views import tokens as strip
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, visible_bytes
from workbench.views.palette import FAINT, GOOD, MONO, WRONG, Pair
from workbench.views.tokens_alignment import view as view_alignment

LIMIT_ROWS = 200


def view_round_trip(value: RoundTrip) -> str:
    """Whether the text comes back, where it does not, and what is eaten, unlike or cut."""
    where = value.first_difference
    said = "the text comes back byte for byte" if where is None else f"parts from the text at byte {where.offset:,}"
    parts = [heading("There and back", f"{len(value.tokens):,} tokens; {said}")]
    if where is not None:
        rows = [
            [escape(name), code(visible_bytes(where.before)) + mark(visible_bytes(data), pair, extra=MONO)]
            for name, data, pair in (("text", where.text, GOOD), ("back", where.back, WRONG))
        ]
        parts.append(table(("", "first difference"), rows))
    parts.append(_eaten(value))
    parts.append(_unlike(value))
    parts.append(_cut(value))
    return "".join(parts) + fold("The tokens", strip.view(value.tokens))


def _eaten(value: RoundTrip) -> str:
    rows = [[escape(f"{a:,}–{b:,}"), code(visible_bytes(value.raw[a:b]))] for a, b in value.eaten[:LIMIT_ROWS]]
    if not rows:
        return ""
    head = heading("Eaten", "bytes of the text that no token stands for")
    return head + table(("bytes", "text"), rows) + cut(len(rows), len(value.eaten), "stretches")


def _unlike(value: RoundTrip) -> str:
    rows = [
        [
            escape(f"#{found.token}"),
            code(visible_bytes(found.piece)),
            code(visible_bytes(found.stands)) if found.stands is not None else escape("no place in the text"),
        ]
        for found in value.unlike[:LIMIT_ROWS]
    ]
    if not rows:
        return ""
    head = heading("Not the text's bytes", "added, with a space put before, folded, or unknown")
    return head + table(("token", "piece", "stands for"), rows) + cut(len(rows), len(value.unlike), "tokens")


def _cut(value: RoundTrip) -> str:
    rows = [
        [
            escape(f"#{found.first}–{found.end - 1}" if found.end - found.first > 1 else f"#{found.first}"),
            code(found.data.hex(" ")),
            code(found.text) if found.text is not None else escape("no character"),
        ]
        for found in value.cut[:LIMIT_ROWS]
    ]
    if not rows:
        return ""
    head = heading("Characters cut", "valid UTF-8 only together")
    return head + table(("tokens", "bytes", "character"), rows) + cut(len(rows), len(value.cut), "characters")


def view_injection(value: Injection) -> str:
    """The special tokens of foreign text, marked in the strip, and the safe tokenisation beside it."""
    marked = {item.token for item in value.found}

    def look(i: int) -> tuple[Pair, str]:
        return (WRONG if i in marked else FAINT), strip.title(value.tokens, i)

    said = f"{len(value.found)} in the request's own text" if value.found else "none in the request's own text"
    parts = [heading("Special tokens", said)]
    parts.append(notes([] if value.known else ["some characters' origins are unknown; they are taken for foreign"]))
    if value.found:
        parts.append(_injected(value.found))
    parts.append(notes((_left(item) for item in value.left), "Also in the safe tokens"))
    parts.append(strip.strip(value.tokens, look))
    return "".join(parts) + heading("As it is, and safe") + view_alignment(value.alignment)


def _injected(found: tuple[Injected, ...]) -> str:
    rows = [
        [
            mark(visible_bytes(item.piece), WRONG, extra=MONO),
            escape(item.id),
            escape(item.type),
            code(item.path or "unknown origin"),
            escape(f"{item.start:,}–{item.end:,}" + ("" if item.whole else ", the template wrote a part")),
        ]
        for item in found[:LIMIT_ROWS]
    ]
    head = ("token", "id", "type", "from", "characters of the prompt")
    return table(head, rows) + cut(len(rows), len(found), "tokens")


def _left(item: Injected) -> str:
    why = "llama.cpp matches user-defined tokens in any text" if item.type == "user_defined" else item.type
    return f"{visible_bytes(item.piece)} (id {item.id}): {why}"
