"""`<tool_call>{…}</tool_call>` with one JSON object a call, `name` and `arguments`, as Hermes and Qwen write it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from workbench.parsers.base import Draft
from workbench.parsers.loose_json import Found, read_object
from workbench.stages import ToolCall

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
        position = 0
        if draft.prompt_tail.rstrip().endswith(OPEN) and draft.reasoning is None:
            draft, position = _take_tag(draft, 0, 0)
        for start, end in draft.pieces:
            position = max(position, start)
            while (found := draft.raw.find(OPEN, position, end)) >= 0:
                draft = _note_stray(draft, position, found)
                draft, position = _take_tag(draft, found, found + len(OPEN))
            draft = _note_stray(draft, position, end)
        return draft if draft.tool_calls else _note_unmade(draft)


def _take_tag(draft: Draft, start: int, body: int) -> tuple[Draft, int]:
    """The call (or calls) behind an opening tag; returns where to go on. Unreadable ones stay content."""
    following = draft.raw.find(OPEN, body)
    found = read_object(draft.raw, body, repair_to=following if following >= 0 else len(draft.raw))
    if found.value is None:
        return _unreadable(draft, start, body, found)
    draft = _note_repairs(draft, found)
    after = SPACE.match(draft.raw, found.end).end()  # type: ignore[union-attr]  # \s* always matches
    close = draft.raw.find(CLOSE, after)
    following = draft.raw.find(OPEN, after)
    if close < 0 or 0 <= following < close:
        end = found.end
        draft = draft.repaired(f"{CLOSE} is missing behind a complete call", end, end)
        return _add_call(draft, found.value, start, end), end
    end = close + len(CLOSE)
    return _trailing(_add_call(draft, found.value, start, end), after, close), end


def _trailing(draft: Draft, after: int, close: int) -> Draft:
    """What stands between the object and the closing tag: nothing, another call, or something to say."""
    while after < close:
        more = read_object(draft.raw, after, repair_to=close) if draft.raw[after] == "{" else None
        if more is None or more.value is None or more.end > close:
            message = f"text behind the call's JSON was ignored: {draft.raw[after:close].rstrip()[:40]!r}"
            return draft.repaired(message, after, close)
        draft = draft.repaired("a second call within one tag was read too", after, more.end)
        draft = _add_call(_note_repairs(draft, more), more.value, after, more.end)
        after = SPACE.match(draft.raw, more.end).end()  # type: ignore[union-attr]  # \s* always matches
    return draft


def _unreadable(draft: Draft, start: int, body: int, found: Found) -> tuple[Draft, int]:
    ends = [end for tag in (CLOSE, OPEN) if (end := draft.raw.find(tag, body)) >= 0]
    end = min(ends, default=len(draft.raw))
    if draft.raw.startswith(CLOSE, end):
        end += len(CLOSE)
    cut = not ends and found.at_end
    if cut and not draft.complete:
        message = "the answer was cut off inside a tool call"
    elif cut:
        message = "the answer ends inside a tool call"
    else:
        message = f"a tool call is not JSON: {found.error}"
    return draft.failed(message, start, end), end


def _add_call(draft: Draft, value: Any, start: int, end: int) -> Draft:
    call = read_call(value)
    if not call.name:
        return draft.failed(call.error or "", start, end)
    for repair in call.repairs:
        draft = draft.repaired(repair, start, end)
    if call.error:
        draft = draft.failed(call.error, start, end)
    return draft.call(ToolCall(call.name, call.arguments, (start, end))).without(start, end)


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


def _note_repairs(draft: Draft, found: Found) -> Draft:
    for repair in found.repairs:
        draft = draft.repaired(repair, found.start, found.end)
    return draft


def _note_stray(draft: Draft, start: int, end: int) -> Draft:
    found = draft.raw.find(CLOSE, start, end)
    if found < 0:
        return draft
    return draft.failed(f"{CLOSE} without an opening tag: it was left in the content", found, found + len(CLOSE))


def _note_unmade(draft: Draft) -> Draft:
    """A whole call within the reasoning, and none outside: the client gets no call, which surprises."""
    for start, end in draft.reasoning or ():
        found = draft.raw.find(OPEN, start, end)
        if found >= 0 and draft.raw.find(CLOSE, found, end) >= 0:
            message = "a tool call stands inside the reasoning: it was not read as a call"
            return draft.failed(message, found, draft.raw.find(CLOSE, found, end) + len(CLOSE))
    return draft


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
