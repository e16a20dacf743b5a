"""What llama.cpp handed to a template: asked of the engine itself, by a template that prints its variables.

llama.cpp rewrites a request by what the template seems able to do, which it finds out by running it on requests of
its own. So the template stays as it is, inside a branch that these requests take, and ours does not.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from workbench.nesting import read_json, write_json

SWITCH = "workbench_shows_variables"  # the request's argument that takes the other branch
_BETWEEN = "\x1e"
_ORDER = "its keys stand in the order "
# Variables other than messages that llama.cpp sets or leaves out by itself.
VARIABLES = (
    "tools",
    "add_generation_prompt",
    "enable_thinking",
    "preserve_thinking",
    "clear_thinking",
    "truncate_history_thinking",
    "drop_thinking",
    "reasoning_effort",
    "reasoning_strength",
    "date_string",
    "datetime",
    "documents",
)
# Fields of a request that reach a template by their own names.
CARRIED = ("messages", "tools", "documents", "add_generation_prompt", "chat_template_kwargs", "model", "stream")


class Change(NamedTuple):
    """One thing that differs: `path` in the request, its JSON before and after, None where it is not there."""

    path: str
    before: str | None
    after: str | None
    words: str = ""  # in place of both

    def __str__(self) -> str:
        if self.words:
            return f"{self.path}: {self.words}"
        if self.before is None:
            return f"{self.path}: not given, {self.after} is added"
        if self.after is None:
            return f"{self.path}: {self.before} is not handed on"
        return f"{self.path}: {self.before} became {self.after}"


def words_of(found: list[Change]) -> list[str]:
    """The changes in words; the same order of keys in several objects is one."""
    lines, ordered = [], dict[str, list[str]]()
    for change in found:
        if change.words.startswith(_ORDER):
            ordered.setdefault(change.words, []).append(change.path)
        else:
            lines.append(str(change))
    return lines + [f"{', '.join(paths)}: {words}" for words, paths in ordered.items()]


def showing(template: str) -> str:
    """The template that prints its variables where `SWITCH` is given, and is `template` where it is not."""
    shown = "".join(f"{_BETWEEN}{{{{ ({name} | tojson) if {name} is defined else '' }}}}" for name in VARIABLES)
    head = "{% if " + SWITCH + " is defined %}{{ messages | tojson }}" + shown + _BETWEEN
    return head + "{% else %}" + template + "{% endif %}"


def shown(text: str) -> dict[str, Any] | None:
    """The variables that such a template printed, None where it printed something else.

    A server that goes on with the last message prints them again in part, and then that message's text.
    """
    parts = text.split(_BETWEEN)
    if len(parts) < len(VARIABLES) + 2:
        return None
    try:
        values = {"messages": read_json(parts[0])}
        values |= {name: read_json(part) for name, part in zip(VARIABLES, parts[1:], strict=False) if part.strip()}
    except json.JSONDecodeError:
        return None
    if len(parts) > len(VARIABLES) + 2:
        values["add_generation_prompt"] = True
    return values


def changes(body: dict[str, Any], seen: dict[str, Any], template: str) -> list[Change]:
    """How the variables that a template saw differ from the request; variables that it never mentions are left out."""
    found: list[Change] = []
    _messages(body["messages"], seen["messages"], found)
    return found + variable_changes(body, seen, template)


def variable_changes(body: dict[str, Any], seen: dict[str, Any], template: str) -> list[Change]:
    """The same of all variables but the messages; a field of the body that has a variable's name gives it too."""
    kwargs = body.get("chat_template_kwargs") or {}
    given = {name: body[name] for name in VARIABLES if body.get(name) is not None}
    given |= {"add_generation_prompt": body.get("add_generation_prompt", True)} | kwargs
    found: list[Change] = []
    for name in VARIABLES:
        own = name in kwargs or name in ("tools", "documents", "add_generation_prompt")
        if not own and name not in seen:
            continue  # a field that is no template argument to this engine: nothing was taken from the template
        if name in template or name in ("tools", "documents"):
            _differ(name, given.get(name, ABSENT), seen.get(name, ABSENT), found)
    return found


def shift_of(before: list[Any], after: list[Any]) -> int | None:
    """Which message of the request the first that a template saw is: 0; 1 where the system text was merged into it.

    None where the list was changed in another way. A last message that was taken off (its text is written behind
    the prompt) leaves the others in place.
    """
    if len(after) == len(before) or (len(after) == len(before) - 1 and _begins_alike(before, after)):
        return 0
    if len(after) == len(before) - 1 and after and _merged(before) == after[0].get("content"):
        return 1
    return None


def _begins_alike(before: list[Any], after: list[Any]) -> bool:
    """Whether the messages have the same roles up to the last one; a developer is a system."""
    named = [[{"developer": "system"}.get(m.get("role"), m.get("role")) for m in list_] for list_ in (before, after)]
    return named[0][: len(after)] == named[1]


def _merged(before: list[Any]) -> str | None:
    first, second = (message.get("content") for message in before[:2])
    both = isinstance(first, str) and isinstance(second, str)
    return f"{first}\n{second}" if both and before[0].get("role") in ("system", "developer") else None


def _messages(before: list[Any], after: list[Any], found: list[Change]) -> None:
    shift = shift_of(before, after)
    if shift is None:
        found.append(Change("messages", None, None, f"the list was changed: {len(before)} became {len(after)}"))
    elif shift:
        found.append(Change("messages[0]", None, None, "the system text was merged into messages[1]"))
        rest = {name: value for name, value in before[1].items() if name != "content"}
        _differ("messages[1]", rest, {k: v for k, v in after[0].items() if k != "content"}, found)
        for index, one in enumerate(after[1:], 2):
            _differ(f"messages[{index}]", before[index], one, found)
    else:
        _differ("messages", before, after, found)


def request_seen(body: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """The request that hands a template these very variables without being rewritten, numbers in full."""
    kept = {name: seen[name] for name in ("tools", "documents") if name in seen}
    others = {name: seen[name] for name in VARIABLES if name in seen and name not in kept}
    given = body.get("chat_template_kwargs") or {}
    found = {"messages": restored(body["messages"], seen["messages"])}
    found |= {name: restored(body.get(name), value) for name, value in kept.items()}
    found["add_generation_prompt"] = bool(others.pop("add_generation_prompt", False))
    return found | {"chat_template_kwargs": {**given, **others}}


def restored(before: Any, after: Any) -> Any:
    """`after` with the numbers of `before` where they only lost digits."""
    top = [after]
    todo: list[tuple[Any, Any, Any, Any]] = [(before, after, top, 0)]  # both values, and where the second stands
    while todo:
        one, other, holder, key = todo.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            holder[key] = {**other}
            todo += [(one.get(name), value, holder[key], name) for name, value in other.items()]
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            holder[key] = [*other]
            todo += [(*pair, holder[key], index) for index, pair in enumerate(zip(one, other, strict=True))]
        elif _same(one, other):
            holder[key] = one
    return top[0]


Parts = list[tuple[int, str | None]]


def origins_of(body: dict[str, Any], seen: dict[str, Any]) -> dict[str, Parts] | None:
    """For each content that was put together: where in it each part begins, and its path (None: put between).

    None where a message that a template saw cannot be told from the request's.
    """
    before, after = body["messages"], seen["messages"]
    shift = shift_of(before, after)
    if shift is None:
        return None
    found: dict[str, Parts] = {}
    if shift:
        size = len(before[0]["content"])
        found["messages[0].content"] = [
            (0, "messages[0].content"),
            (size, None),
            (size + 1, "messages[1].content"),
        ]
    for index, one in enumerate(after[shift and 1 :], shift and 1):
        path, given = f"messages[{index}].content", before[index + shift]
        if isinstance(given.get("content"), list) and isinstance(one.get("content"), str):
            text, parts = _join(given["content"], f"messages[{index + shift}].content")
            if text == one["content"]:
                found[path] = parts
    return found


def _join(parts: list[Any], path: str) -> tuple[str, list[tuple[int, str | None]]]:
    text = ""
    found: list[tuple[int, str | None]] = []
    for index, part in enumerate(parts):
        if not isinstance(part, dict) or part.get("type") != "text":
            continue
        if text:
            found.append((len(text), None))
            text += "\n"
        found.append((len(text), f"{path}[{index}].text"))
        text += str(part.get("text", ""))
    return text, found


ABSENT = object()


def differences(path: str, before: Any, after: Any, found: list[Change]) -> None:
    """Add each difference of two values to `found`; `ABSENT` is what is not there."""
    _differ(path, before, after, found)


def order_change(path: str, before: dict[str, Any], after: dict[str, Any], found: list[Change]) -> None:
    """Add to `found` that the keys which two objects share stand in another order, where they do."""
    kept = [name for name in before if name in after]
    order = [name for name in after if name in before]
    if kept != order:
        found.append(Change(path, None, None, f"{_ORDER}{', '.join(order)}, and were sent as {', '.join(kept)}"))


def _differ(path: str, before: Any, after: Any, found: list[Change]) -> None:
    """Put into `found` what differs, in the order of the request."""
    todo = [(path, before, after)]
    while todo:
        path, before, after = todo.pop()
        if isinstance(before, dict) and isinstance(after, dict):
            order_change(path, before, after, found)
            names = [*before, *(name for name in after if name not in before)]
            todo += [(f"{path}.{n}", before.get(n, ABSENT), after.get(n, ABSENT)) for n in reversed(names)]
        elif _item_by_item(path, before, after):
            for index in reversed(range(max(len(before), len(after)))):
                one, other = (items[index] if index < len(items) else ABSENT for items in (before, after))
                todo.append((f"{path}[{index}]", one, other))
        elif before is not after and (before is ABSENT or after is ABSENT or not _same(before, after)):
            found.append(Change(path, _text(before), _text(after)))


def _item_by_item(path: str, before: Any, after: Any) -> bool:
    lists = isinstance(before, list) and isinstance(after, list)
    return lists and (path == "messages" or len(before) == len(after))


def _same(before: Any, after: Any) -> bool:
    """Whether a value is only printed in another way: this engine's JSON has six digits of a number."""
    if isinstance(before, float) and isinstance(after, int | float) and not isinstance(after, bool):
        return abs(before - after) <= 1e-5 * abs(before)
    return type(before) is type(after) and before == after


def _text(value: Any) -> str | None:
    if value is ABSENT:
        return None
    text = write_json(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"
