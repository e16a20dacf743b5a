"""Values written as JSON or as Python prints them, every character with its origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .containers import TrackedDict, TrackedList, dumped, unwrap
from .origins import COMPUTED, UNKNOWN, Run, Source, Tracked, glue, run, runs_of, spread
from .scalars import SCALARS, source_of

Piece = tuple[str, Source]


class Style(NamedTuple):
    """How a dump is written: between items, between key and value, one level of indentation, one scalar or text."""

    between: str
    colon: str
    indent: str | None
    scalar: Callable[[Any], str]
    per_character: bool  # whether a text's parts can be written one by one
    tuples: bool  # whether a tuple is written as one


def json_text(value: Any, ensure_ascii: Any, indent: Any, separators: Any, sort_keys: Any) -> Tracked:
    """`json.dumps` of a tracked value. Errors: those of `json.dumps`."""
    options = [unwrap(item) for item in (ensure_ascii, indent, separators, sort_keys)]
    ascii_only, indent, separators, in_order = options
    text = json.dumps(unwrap(value), ensure_ascii=ascii_only, indent=indent, separators=separators, sort_keys=in_order)
    default = (", ", ": ") if indent is None else (",", ": ")
    between, colon = separators if separators is not None else default
    step = " " * indent if isinstance(indent, int) else indent
    style = Style(between, colon, step, lambda item: json.dumps(item, ensure_ascii=ascii_only), True, False)
    return _tracked(text, value, style, in_order)


def python_text(value: Any) -> Tracked:
    """`str` of a tracked dict, list or tuple."""
    return _tracked(str(unwrap(value)), value, Style(", ", ": ", None, repr, False, True), False)


def _tracked(text: str, value: Any, style: Style, in_order: Any) -> Tracked:
    """`text` with the origins that a walk over `value` finds, if the walk writes the very same text."""
    pieces = list(_walk(value, style, "\n", bool(in_order)))
    if "".join(piece for piece, _ in pieces) != text:
        return Tracked(text)
    merged: list[Run] = []
    for piece, source in pieces:
        last = merged[-1] if merged else None
        if last and (last[1].origin, last[1].path) == (source.origin, source.path):
            merged[-1] = (last[0] + len(piece), last[1], -1, None)
        else:
            merged.extend(run(piece, source))
    return Tracked(text, glue([tuple(merged)]))


def _walk(value: Any, style: Style, newline: str, in_order: bool) -> Iterator[Piece]:
    if isinstance(value, str):
        yield from _text(value, style)
    elif isinstance(value, dict):
        items = sorted(value.items()) if in_order else list(value.items())
        heads = [[*_walk(key, style, newline, in_order), (style.colon, _container(value))] for key, _ in items]
        yield from _series(
            "{}", value, [(h, item) for h, (_, item) in zip(heads, items, strict=True)], style, newline, in_order
        )
    elif isinstance(value, list | tuple):
        closing = ",)" if len(value) == 1 else ")"
        brackets = f"({closing}" if style.tuples and isinstance(value, tuple) else "[]"
        yield from _series(brackets, value, [([], item) for item in value], style, newline, in_order)
    else:
        yield style.scalar(unwrap(value)), dumped(source_of(value)) if isinstance(value, SCALARS) else source_of(value)


def _series(
    brackets: str, value: Any, items: list[tuple[list[Piece], Any]], style: Style, newline: str, in_order: bool
) -> Iterator[Piece]:
    source = _container(value)
    inner = newline + style.indent if style.indent is not None else ""
    yield brackets[0], source
    for index, (head, item) in enumerate(items):
        yield (style.between if index else "") + (inner if items else ""), source
        yield from head
        yield from _walk(item, style, inner or newline, in_order)
    yield (newline if items and style.indent is not None else "") + brackets[1:], source


def _container(value: Any) -> Source:
    return dumped(value.source_) if isinstance(value, TrackedDict | TrackedList) else COMPUTED


def _text(value: str, style: Style) -> Iterator[Piece]:
    plain = unwrap(value)
    runs = runs_of(value)
    written = style.scalar(plain)
    if not runs:
        yield written, UNKNOWN
        return
    if len(runs) == 1 or not plain:
        yield written, dumped(runs[0][1])
        return
    if not style.per_character:
        yield written, dumped(spread(plain, runs)[0][1])
        return
    at = 0
    for index, (length, source, _, _) in enumerate(runs):
        part = style.scalar(plain[at : at + length])
        start, stop = (0 if index == 0 else 1), (len(part) if index == len(runs) - 1 else -1)
        yield part[start:stop], dumped(source)
        at += length
