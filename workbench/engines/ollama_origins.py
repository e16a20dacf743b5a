"""Where a Go template's text comes from: the marks of a second run, in terms of the request as it was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from workbench.engines.llama_cpp import checked, value_at
from workbench.stages import Origin, Span

# Place, kind and paths of a part of the template, as `ollama_go/origins.go` writes them before what the part wrote.
_MARK = re.compile("\ue000(\\d+) (\\w+) ([^\ue001]*)\ue001")
_MESSAGE = re.compile(r"messages\[(\d+)\](.*)")
_WHOLE = re.compile(r"(tools\[\d+\]|messages\[\d+\]\.tool_calls\[\d+\]\.function\.arguments)")
_CALLED = {"thinking": "reasoning", "reasoning_content": "reasoning", "tool_name": "name"}  # in the request as sent
_MERGED = "\n\n"  # between the texts of messages that Ollama merges


class _Piece(NamedTuple):
    """A stretch of the text; `path` in the request as Ollama read it, `whole` where it is that field's very text."""

    text: str
    origin: Origin
    path: str | None = None
    whole: bool = False


def spans_of(marked: str, text: str, sent: dict[str, Any], body: dict[str, Any], template: str) -> tuple[Span, ...]:
    """The spans that tile `text`; none where the marks do not fit it.

    `sent` is the request as Ollama read it, `body` as it was sent; `template` is "" where places in it would be those
    of a text that nobody sees.
    """
    before, *parts = _MARK.split(marked)
    if before or "".join(parts[3::4]) != text:
        return ()
    place_of, found, at = _places(template), list[Span](), 0
    for offset, kind, paths, written in zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True):
        line, column, is_source = place_of(int(offset), written)
        for piece in _pieces(kind, paths, written, sent):
            end = at + len(piece.text)
            verbatim = piece.whole or (kind == "text" and is_source)
            path = sourced(piece.path, sent["messages"]) if piece.path else None
            origin = "default" if piece.path and path is None else piece.origin
            span = Span(at, end, origin, path, line, column, verbatim, 0 if piece.whole and path else None)
            found.append(checked(span, piece.text, body))
            at = end
    return tuple(found)


def sourced(path: str, messages: list[Any]) -> str | None:
    """A path in a request as Ollama read it as that in the request as it was sent, None for what a Modelfile adds."""
    match = _MESSAGE.match(path)
    if not match:
        return path
    message, rest = messages[int(match[1])], match[2]
    source = message.get("from")
    if source is None:
        return None
    if rest == ".content" and "part" in message:
        return f"{source}.content[{message['part']}]" + ("" if message.get("images") else ".text")
    name = rest.removeprefix(".")
    return f"{source}.{_CALLED.get(name, name)}" if name else str(source)


def _pieces(kind: str, paths: str, written: str, sent: dict[str, Any]) -> Iterator[_Piece]:
    """What one part of the template wrote, by the fields that it shows."""
    if not written:
        return
    if kind in ("text", "constant"):
        yield _Piece(written, "template")
    elif kind.endswith("Date"):
        yield _Piece(written, "default")
    elif not paths:
        yield _Piece(written, "unknown")
    else:
        yield from _fields(paths.split("+"), written, sent)


def _fields(paths: list[str], written: str, sent: dict[str, Any]) -> Iterator[_Piece]:
    """The texts of one or more fields as they are, or one field as JSON."""
    values = [value_at(sent, path) for path in paths]
    origin: Origin = "tool" if paths[0].startswith("tools") else "message"
    if all(isinstance(value, str) for value in values) and written == _MERGED.join(values):
        for index, (path, value) in enumerate(zip(paths, values, strict=True)):
            yield from [_Piece(_MERGED, "default")] if index else []
            yield from [_Piece(value, origin, path, whole=True)] if value else []
    elif len(paths) == 1 and values[0] is not None:
        whole = _WHOLE.match(paths[0])
        yield _Piece(written, origin, whole[1] if whole else paths[0])
    else:
        yield _Piece(written, "unknown")


def _places(template: str) -> Any:
    """Line and column (from 1) of an offset in bytes, and whether the template has this very text there."""
    data = template.encode("utf-8", "surrogatepass")

    @cache
    def place(offset: int) -> tuple[int | None, int | None]:
        if not template:
            return None, None
        start = data.rfind(b"\n", 0, offset) + 1
        return data.count(b"\n", 0, offset) + 1, len(data[start:offset].decode("utf-8", "replace")) + 1

    def place_of(offset: int, written: str) -> tuple[int | None, int | None, bool]:
        text = written.encode("utf-8", "surrogatepass")
        return *place(offset), not template or data.startswith(text, offset)

    return place_of
