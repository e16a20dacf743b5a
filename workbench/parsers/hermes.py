"""`<tool_call>{…}</tool_call>` with one JSON object a call, `name` and `arguments`, as Hermes and Qwen write it."""

from __future__ import annotations

import bisect
import itertools
import re
from dataclasses import replace
from typing import Any, NamedTuple

from workbench.parsers.base import Draft, Span
from workbench.parsers.loose_json import Found, read_object
from workbench.stages import ParseNote, ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
SPACE = re.compile(r"\s*")


class Call(NamedTuple):
    """A call's parts as found in the JSON; `repairs` and `error` in words."""

    name: str
    arguments: Any
    repairs: tuple[str, ...]
    error: str | None


class Hermes:
    """Takes tool calls out of the content; a call that cannot be read stays in it, with an error."""

    name = "hermes"
    marks: tuple[str, ...] = (OPEN, CLOSE)

    def applies(self, draft: Draft) -> bool:
        """A tag anywhere in the answer, or one that the prompt left open."""
        return OPEN in draft.raw or CLOSE in draft.raw or draft.prompt_tail.rstrip().endswith(OPEN)

    def take(self, draft: Draft) -> Draft:
        """The draft with its calls listed and their text out of the content."""
        reading, position = _Reading(draft), 0
        if draft.prompt_tail.rstrip().endswith(OPEN) and draft.reasoning is None:
            position = reading.take_tag(0, 0)
        for start, end in draft.pieces:
            position = max(position, start)
            while (found := reading.next_open(position)) < end:
                reading.note_stray(position, found)
                position = reading.take_tag(found, found + len(OPEN))
            reading.note_stray(position, end)
        return _note_unmade(reading.result())


class _Reading:
    """What was found so far. The tags' places and the notes are plain lists, so that many tags take linear time."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self._raw = draft, draft.raw
        self._opens = [match.start() for match in re.finditer(OPEN, draft.raw)]
        self._closes = [match.start() for match in re.finditer(CLOSE, draft.raw)]
        self._calls: list[ToolCall] = []
        self._repairs: list[ParseNote] = []
        self._errors: list[ParseNote] = []

    def result(self) -> Draft:
        """The draft with all of it."""
        draft = self._draft.without(*(call.span for call in self._calls))
        return replace(
            draft,
            tool_calls=(*draft.tool_calls, *self._calls),
            repairs=(*draft.repairs, *self._repairs),
            errors=(*draft.errors, *self._errors),
        )

    def next_open(self, position: int) -> int:
        """Where the next opening tag is, the text's length where there is none."""
        return _next(self._opens, position, len(self._raw))

    def next_close(self, position: int) -> int:
        """Where the next closing tag is, the text's length where there is none."""
        return _next(self._closes, position, len(self._raw))

    def take_tag(self, start: int, body: int) -> int:
        """Read the call (or calls) behind an opening tag; where to go on. Unreadable ones stay content."""
        found = read_object(self._raw, body, repair_to=self.next_open(body))
        if found.error:
            return self._unreadable(start, body, found)
        after = self._skip_space(found.end)
        close = self.next_close(after)
        if close == len(self._raw) or self.next_open(after) < close:
            return self._unclosed(start, found, after)
        return self._closed(start, found, close)

    def note_stray(self, start: int, end: int) -> None:
        """An error where a closing tag stands in [start, end), outside all calls."""
        found = self.next_close(start)
        if found < end:
            message = f"{CLOSE} without an opening tag: it was left in the content"
            self._fail(message, found, found + len(CLOSE))

    def _closed(self, start: int, first: Found, close: int) -> int:
        """The object of a closed tag and those that follow it there; each call's span ends where the next begins."""
        found, after = [first], self._skip_space(first.end)
        while after < close and self._raw[after] == "{":
            more = read_object(self._raw, after, repair_to=close)
            if more.error or more.end > close:
                break
            self._repair("a second call within one tag was read too", more.start, more.end)
            found.append(more)
            after = self._skip_space(more.end)
        end = close + len(CLOSE)
        borders = [start, *(more.start for more in found[1:]), end]
        for item, span in zip(found, itertools.pairwise(borders), strict=True):
            self._add_call(item, span)
        if after < close:
            said = self._raw[after : min(close, after + 40)].rstrip()
            self._repair(f"text behind the call's JSON was ignored: {said!r}", after, close)
        return end

    def _unclosed(self, start: int, found: Found, after: int) -> int:
        """A whole call without its closing tag; of a cut answer the begun tag belongs to the call."""
        end = found.end
        if self._draft.complete or self._tag_follows(after):
            self._repair(f"{CLOSE} is missing behind a complete call", end, end)
        else:
            left = len(self._raw) - after
            end = len(self._raw) if left < len(CLOSE) and CLOSE.startswith(self._raw[after:]) else end
            self._fail(f"the answer was cut off before {CLOSE}; the call in front of it is complete", found.end, end)
        self._add_call(found, (start, end))
        return end

    def _unreadable(self, start: int, body: int, found: Found) -> int:
        close = self.next_close(body)
        end = min(close, self.next_open(body))
        if end == close < len(self._raw):
            end += len(CLOSE)
        why = f"not JSON: {found.error}"
        if self._tag_follows(body) or (self._draft.complete and not found.at_end):
            message = f"a tool call is {why}"
        elif self._draft.complete:
            message = "the answer ends inside a tool call"
        else:
            message = "the answer was cut off inside a tool call" + ("" if found.at_end else f", which is {why}")
        self._fail(message, start, end)
        return end

    def _add_call(self, found: Found, span: Span) -> None:
        for repair in found.repairs:
            self._repair(repair, found.start, found.end)
        call = read_call(found.value)
        for repair in call.repairs:
            self._repair(repair, *span)
        if call.error:
            self._fail(call.error, *span)
        if call.name:
            self._calls.append(ToolCall(call.name, call.arguments, span))

    def _tag_follows(self, position: int) -> bool:
        return min(self.next_open(position), self.next_close(position)) < len(self._raw)

    def _skip_space(self, position: int) -> int:
        return SPACE.match(self._raw, position).end()  # type: ignore[union-attr]  # \s* always matches

    def _repair(self, message: str, start: int, end: int) -> None:
        self._repairs.append(ParseNote(message, (start, end)))

    def _fail(self, message: str, start: int, end: int) -> None:
        self._errors.append(ParseNote(message, (start, end)))


def _next(places: list[int], position: int, default: int) -> int:
    """The first of the sorted `places` that is not before `position`."""
    at = bisect.bisect_left(places, position)
    return places[at] if at < len(places) else default


def read_call(value: Any) -> Call:
    """The name and arguments in a call's JSON; an empty name where it is no call, with the error."""
    repairs: list[str] = []
    if isinstance(value, dict) and isinstance(value.get("function"), dict) and "name" not in value:
        repairs.append('the call stood inside a key "function"')
        value = value["function"]
    if not isinstance(value, dict):
        return Call("", None, (), f"a tool call is no JSON object but {_kind(value)}")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        return Call("", None, (), 'a tool call has no text as its "name"')
    key = "arguments" if "arguments" in value or "parameters" not in value else "parameters"
    if key == "parameters":
        repairs.append('the arguments stood under the key "parameters"')
    ignored = [other for other in value if other not in ("name", key, "id", "type")]
    if ignored:
        repairs.append(f"keys that are no part of a call were ignored: {', '.join(ignored)[:80]}")
    return _read_arguments(name, value.get(key), key in value, repairs)


def _read_arguments(name: str, given: Any, is_given: bool, repairs: list[str]) -> Call:
    """`{}` is a good value; a JSON text is read as the object that it holds."""
    if isinstance(given, dict):
        return Call(name, given, tuple(repairs), None)
    if given is None:
        repairs.append("the arguments were null: read as {}" if is_given else "no arguments were given: read as {}")
        return Call(name, {}, tuple(repairs), None)
    if not isinstance(given, str):
        return Call(name, given, tuple(repairs), f"the arguments of {name} are no JSON object but {_kind(given)}")
    inner = read_object(given, 0, repair_to=len(given))
    if not isinstance(inner.value, dict) or given[inner.end :].strip():
        return Call(name, given, tuple(repairs), f"the arguments of {name} are a text that holds no JSON object")
    repairs += ["the arguments were a JSON text: read as the object in it", *inner.repairs]
    return Call(name, inner.value, tuple(repairs), None)


def _note_unmade(draft: Draft) -> Draft:
    """A whole call within the reasoning, and none outside: the client gets no call, which surprises."""
    for start, end in () if draft.tool_calls else draft.reasoning or ():
        found = draft.raw.find(OPEN, start, end)
        if found >= 0 and draft.raw.find(CLOSE, found, end) >= 0:
            message = "a tool call stands inside the reasoning: it was not read as a call"
            return draft.failed(message, found, draft.raw.find(CLOSE, found, end) + len(CLOSE))
    return draft


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
