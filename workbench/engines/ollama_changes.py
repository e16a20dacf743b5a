"""What Ollama changed in a request: its messages as the template saw them, held against those that were sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.engines.seen import ABSENT, Change, differences, order_change, restored
from workbench.nesting import read_json

_FROM = re.compile(r"messages\[(\d+)\]")
_OF_ITS_OWN = ("role", "content")
_IN_ORDER = ("reasoning", "tool_calls", "name", "tool_call_id")
_APART = {"\n\n": "an empty line", "\n": "a line feed"}  # between texts that are joined: Ollama's, llama.cpp's
_RENAMED = {"reasoning": "reasoning_content"}  # what a Jinja template reads under another name
# Go templates that print their values: the usual ones, and those that are executed once for each exchange.
SHOWING = "{{ json .Messages }}\x1e{{ json .Tools }}"
SHOWING_TURNS = "\x1e{{ .System }}\x1f{{ .Prompt }}\x1f{{ .Response }}"


class _Place(NamedTuple):
    """Where a message of the request went: the message that the template saw, and the one that Ollama read."""

    seen: int
    sent: int


@dataclass(frozen=True)
class Messages:
    """The messages that a template saw, `seen`, and what each of them is made of.

    `sent` are those that Ollama made of the request, each with its path as `from`; `groups` which of them each of
    `seen` holds, their texts `apart` by a mark of the engine.
    """

    sent: list[dict[str, Any]]
    seen: list[dict[str, Any]]
    groups: list[list[int]]
    apart: str = "\n\n"

    def changes(self, before: list[dict[str, Any]]) -> list[Change]:
        """How they differ from the request's messages."""
        places: dict[int, list[_Place]] = {}
        for number, group in enumerate(self.groups):
            for index in group:
                source = _FROM.match(self.sent[index].get("from") or "")
                if source:
                    places.setdefault(int(source[1]), []).append(_Place(number, index))
        found: list[Change] = []
        for index, given in enumerate(before):
            path, here = f"messages[{index}]", places.get(index, [])
            if not here:
                differences(path, given, ABSENT, found)
                continue
            role = self.seen[here[0].seen].get("role", ABSENT)
            differences(f"{path}.role", given.get("role", ABSENT), role, found)
            self._content(path, given.get("content", ABSENT), here, found)
            self._fields(path, given, here, found)
            if len(here) == 1 and len(self.groups[here[0].seen]) == 1:
                order_change(path, given, self.seen[here[0].seen], found)
        return found

    def _content(self, path: str, content: Any, here: list[_Place], found: list[Change]) -> None:
        first, group = here[0], self.groups[here[0].seen]
        into = self.sent[group[0]].get("from")
        if isinstance(content, list):
            again = any(len(self.groups[place.seen]) > 1 for place in here)
            then = "; texts of one role are joined again" if again else ""
            found.append(Change(f"{path}.content", None, None, f"each part becomes a message of its own{then}"))
        elif len(group) > 1 and group[0] != first.sent and into != path:
            joined = f"joined to {into or 'a message of the Modelfile'}, with {_APART[self.apart]} between"
            found.append(Change(path, None, None, joined))
        elif len(group) == 1 or not isinstance(content, str):
            differences(f"{path}.content", content, self.seen[first.seen].get("content", ABSENT), found)
            return
        if not all(self._intact(place) for place in here):
            seen = [self.seen[place.seen].get("content") for place in here]
            differences(f"{path}.content", content, seen[0] if len(seen) == 1 else seen, found)

    def _intact(self, place: _Place) -> bool:
        """Whether the template saw the very texts that Ollama read."""
        texts = [self.sent[index]["content"] for index in self.groups[place.seen]]
        return bool(self.seen[place.seen].get("content") == self.apart.join(texts))

    def _fields(self, path: str, given: dict[str, Any], here: list[_Place], found: list[Change]) -> None:
        """The other fields of one message; a group has those of its first."""
        known: dict[str, Any] = {}
        for place in here:
            if self.groups[place.seen][0] == place.sent:
                known |= {n: v for n, v in self.seen[place.seen].items() if n not in _OF_ITS_OWN}
        for name, other in _RENAMED.items():
            if given.get(name) and name not in known and known.get(other) == given[name]:
                del known[other]
                known[name] = given[name]
                found.append(Change(f"{path}.{name}", None, None, f"handed on as {other}"))
        names = [name for name in given if name not in _OF_ITS_OWN]
        for name in [*names, *(name for name in known if name not in given)]:
            differences(f"{path}.{name}", given.get(name, ABSENT), known.get(name, ABSENT), found)


def collated(sent: list[dict[str, Any]]) -> list[list[int]]:
    """Which messages Ollama joins before a Go template sees them: neighbours of one role, but for tool results.

    https://github.com/ollama/ollama/blob/fb30760996871fa9460115c753afd2c60d4ab0f7/template/template.go
    """
    groups: list[list[int]] = []
    for index, message in enumerate(sent):
        role = message["role"].lower()
        if groups and role != "tool" and sent[groups[-1][0]]["role"].lower() == role:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def of_jinja(sent: list[dict[str, Any]], handed: list[dict[str, Any]], seen: list[dict[str, Any]]) -> Messages | None:
    """The messages that llama.cpp's engine showed a Jinja template; None where they cannot be told apart.

    `handed` are those of `sent` in the shape in which that engine was given them.
    """
    from workbench.engines.seen import shift_of

    shift = shift_of(handed, seen)
    if shift is None:
        return None
    groups = [[0, 1], *([n] for n in range(2, len(sent)))] if shift else [[n] for n in range(len(seen))]
    full = [restored(handed[group[-1]], one) for group, one in zip(groups, seen, strict=True)]
    return Messages(sent, full, groups, "\n")


def of_go(sent: list[dict[str, Any]], text: str) -> tuple[Messages, Any] | None:
    """The messages that a Go template printed of itself with `SHOWING`, and its tools; None where it did not."""
    parts = text.split("\x1e")
    groups = collated(sent)
    try:
        messages, tools = (read_json(part) for part in parts)
    except ValueError:
        return None
    if len(messages or ()) != len(groups):
        return None
    return Messages(sent, [_of_shown(message) for message in messages], groups), tools


def _of_shown(message: dict[str, Any]) -> dict[str, Any]:
    """A message as a Go template sees it in the shape of a request, zero values left out."""
    calls = [
        {"id": call["ID"], "function": {"name": call["Function"]["Name"], "arguments": call["Function"]["Arguments"]}}
        for call in message["ToolCalls"] or ()
    ]
    fields = {"reasoning": message["Thinking"], "tool_calls": calls, "name": message["ToolName"]}
    fields["tool_call_id"] = message["ToolCallID"]
    return {"role": message["Role"], "content": message["Content"], **_set(fields)}


def plain_to_go(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The request's messages without what no Go template could tell: zero values, the order of the fields of a message
    and of a call, and that a call is of a function.
    """
    found = []
    for message in messages:
        kept = {name: message[name] for name in _OF_ITS_OWN if name in message}
        kept |= _set({name: message[name] for name in (*_IN_ORDER, *message) if name in message and name not in kept})
        if isinstance(kept.get("tool_calls"), list):
            kept["tool_calls"] = [_plain_call(call) for call in kept["tool_calls"]]
        found.append(kept)
    return found


def _plain_call(call: Any) -> Any:
    if not isinstance(call, dict):
        return call
    kept = {"id": "", **{name: value for name, value in call.items() if name not in ("type", "index")}}
    if isinstance(function := kept.get("function"), dict):
        names = [name for name in ("name", "arguments") if name in function]
        kept["function"] = {name: function[name] for name in (*names, *function)}
    return kept


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in ("", None, [], {})}


def of_turns(sent: list[dict[str, Any]], text: str) -> Messages | None:
    """The messages of which a Go template printed System, Prompt and Response with `SHOWING_TURNS`, turn by turn.

    None where what it printed is not what Ollama's rule gives.
    """
    names = {"system": 0, "user": 1, "assistant": 2}
    groups = collated(sent)
    turns: list[list[list[int] | None]] = [[None, None, None]]
    for group in groups:
        role = sent[group[0]]["role"].lower()
        texts = [_joined(sent, part) for part in turns[-1]]
        if (role == "system" and (texts[1] or texts[2])) or (role == "user" and texts[2]):
            turns.append([None, None, None])
        if role in names:
            turns[-1][names[role]] = group
    printed = [part.split("\x1f") for part in text.split("\x1e")[1:]]
    if printed != [[_joined(sent, part) for part in turn] for turn in turns]:
        return None
    used = [part for turn in turns for part in turn if part is not None]
    seen = [{"role": sent[part[0]]["role"].lower(), "content": _joined(sent, part)} for part in used]
    return Messages(sent, seen, used)


def _joined(sent: list[dict[str, Any]], group: list[int] | None) -> str:
    return "\n\n".join(sent[index]["content"] for index in group or ())
