"""Everything in a request that a model might be meant to read, as a tree: a message, a call, its arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.conversation import Conversation
from workbench.nesting import read_json, write_json

# A field of a message that a template may write, and what it is in words.
_FIELDS = (
    ("content", "text"),
    ("reasoning_content", "reasoning"),
    ("reasoning", "reasoning"),
    ("thinking", "reasoning"),
)
_QUIET = (("name", "name"), ("tool_call_id", "call id"))  # most templates write none of these
_DEEPEST = 32  # levels of arguments and schemas that are looked into


@dataclass(frozen=True)
class Part:
    """One part: its path in the request, what it is in words, its text, the parts it consists of.

    `text` is None where it has none (an image), `size` the characters of the whole. `plain`: the text stands in a
    prompt as it is, if it does; else it is a number or the like, which is printed in many ways. `quiet`: that it is not
    in a prompt is nothing to worry about.
    """

    path: str
    words: str
    text: str | None = None
    inner: tuple[Part, ...] = ()
    plain: bool = True
    quiet: bool = False
    whole: int | None = None

    @property
    def size(self) -> int:
        """How many characters it has."""
        if self.whole is not None:
            return self.whole
        return len(self.text or "") + sum(part.size for part in self.inner)

    def leaves(self) -> Iterator[Part]:
        """The parts that consist of no others."""
        if not self.inner:
            yield self
        for part in self.inner:
            yield from part.leaves()


def parts_of(conversation: Conversation) -> Iterator[Part]:
    """The parts of a request, in its order; what is empty or white space alone is none."""
    for index, message in enumerate(conversation.messages):
        path, role = f"messages[{index}]", message.get("role")
        for field, what in _FIELDS:
            yield from _texts(message.get(field), f"{path}.{field}", f"the {role} message's {what}")
        for field, what in _QUIET:
            yield from _text(message.get(field), f"{path}.{field}", f"the {role} message's {what}", quiet=True)
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            yield _call(call, f"{path}.tool_calls[{number}]")
    for index, tool in enumerate(conversation.tools or ()):
        yield _tool(tool, f"tools[{index}]")
    for index, document in enumerate(conversation.documents or ()):
        path = f"documents[{index}]"
        yield Part(path, "a document", None, tuple(_values(document, path, "a document's text")))


def _text(value: Any, path: str, words: str, *, quiet: bool = False) -> Iterator[Part]:
    if isinstance(value, str) and value.strip():
        yield Part(path, words, value, quiet=quiet)


def _texts(value: Any, path: str, words: str) -> Iterator[Part]:
    yield from _text(value, path, words)
    for index, part in enumerate(value if isinstance(value, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            yield from _text(part.get("text"), f"{path}[{index}].text", words)
        else:
            yield Part(f"{path}[{index}]", f"a part of type {kind}")


def _call(call: Any, path: str) -> Part:
    given: dict[str, Any] = call if isinstance(call, dict) else {}
    called = given.get("function")
    function: dict[str, Any] = called if isinstance(called, dict) else {}
    name = _name_of(call)
    inner = [
        *_text(given.get("id"), f"{path}.id", f"the id of the call of {name}", quiet=True),
        *_text(function.get("name"), f"{path}.function.name", f"the name of the call of {name}"),
        *_arguments(function.get("arguments"), f"{path}.function.arguments", name),
    ]
    return Part(path, f"the call of {name}", None, tuple(inner))


def _arguments(value: Any, path: str, name: str) -> Iterator[Part]:
    """The arguments, one part each; a text that is no JSON object is one part."""
    size = len(value) if isinstance(value, str) else None
    found = value
    if isinstance(value, str):
        try:
            found = read_json(value)
        except (ValueError, RecursionError):
            found = None
    words = f"the arguments of the call of {name}"
    if isinstance(found, dict):
        inner = []
        for key, one in found.items():
            whole = list(_values(one, f"{path}.{key}", f"the argument {key} of the call of {name}"))
            inner += whole if len(whole) < 2 else [Part(f"{path}.{key}", whole[0].words, None, tuple(whole))]
        if inner:
            size = len(write_json(found, ensure_ascii=False)) if size is None else size
            yield Part(path, words, None, tuple(inner), whole=size)
    elif isinstance(value, str) and value.strip():
        yield Part(path, words, value)


def _values(value: Any, path: str, words: str, depth: int = 0) -> Iterator[Part]:
    """Every text, number and the like in a value; what stands deeper than anyone reads is left out."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _values(one, f"{path}.{key}", words, depth + 1)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _values(one, f"{path}[{index}]", words, depth + 1)
    elif isinstance(value, str):
        yield from _text(value, path, words)
    else:
        yield Part(path, words, json.dumps(value), plain=False)


def _tool(tool: Any, path: str) -> Part:
    given = tool.get("function") if isinstance(tool, dict) else None
    function = given if isinstance(given, dict) else {}
    name, path_in = _name_of(tool), f"{path}.function"
    parameters = tuple(_parameters(function.get("parameters"), f"{path_in}.parameters", name))
    inner = [
        *_text(function.get("name"), f"{path_in}.name", f"the name of the tool {name}"),
        *_text(function.get("description"), f"{path_in}.description", f"the description of the tool {name}"),
        *(
            [Part(f"{path_in}.parameters", f"the parameters of the tool {name}", None, parameters)]
            if parameters
            else []
        ),
    ]
    return Part(path, f"the tool {name}", None, tuple(inner))


def _parameters(schema: Any, path: str, tool: str, depth: int = 0) -> Iterator[Part]:
    """Name, description and choices of each property of a schema, and of those in it."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or depth > _DEEPEST:
        return
    for name, one in properties.items():
        at = f"{path}.properties.{name}"
        of = f"the parameter {name} of the tool {tool}"
        given = one if isinstance(one, dict) else {}
        choices = given.get("enum")
        inner = [
            *_text(name, at, f"the name of {of}"),
            *_text(given.get("description"), f"{at}.description", f"the description of {of}"),
            *(
                part
                for index, choice in enumerate(choices if isinstance(choices, list) else ())
                for part in _text(choice, f"{at}.enum[{index}]", f"a choice of {of}")
            ),
            *_parameters(given, at, tool, depth + 1),
            *_parameters(given.get("items"), f"{at}.items", tool, depth + 1),
        ]
        if inner:
            yield Part(at, of, None, tuple(inner))


def _name_of(item: Any) -> str:
    function = item.get("function") if isinstance(item, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return str(name) if name is not None else "without a name"
