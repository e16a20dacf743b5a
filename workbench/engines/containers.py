"""The request's objects and lists, every value in them tracked by its path."""

from __future__ import annotations

import json
import re
from typing import Any

from .origins import Source, Tracked
from .scalars import tracked_scalar, untracked

_TOOL = re.compile(r"tools\[\d+\]")
_ARGUMENTS = re.compile(r"messages\[\d+\]\.tool_calls\[\d+\](\.function)?\.arguments")


class TrackedDict(dict[Any, Any]):
    """An object of the request; its keys' origin is the object itself."""

    __slots__ = ("source_",)
    source_: Source

    def __str__(self) -> str:
        from .dump import python_text

        return python_text(self)


class TrackedList(list[Any]):
    """A list of the request."""

    __slots__ = ("source_",)
    source_: Source

    def __str__(self) -> str:
        from .dump import python_text

        return python_text(self)


def wrap(value: Any, path: str, origin: str = "message") -> Any:
    """A JSON value with every text, number and container in it tracked as `path` and what follows it."""
    if isinstance(value, str):
        return Tracked(value, ((len(value), Source(origin, path, value), 0, None),))
    source = Source(origin, path)
    if isinstance(value, dict):
        fields = TrackedDict()
        fields.source_ = source
        for key, item in value.items():  # no comprehension: a level of it takes as much of the stack as one of this
            fields[Tracked(key, ((len(key), source, -1, None),))] = wrap(item, step(path, key), origin)
        return fields
    if isinstance(value, list):
        items = TrackedList()
        items.source_ = source
        for index, item in enumerate(value):
            items.append(wrap(item, f"{path}[{index}]", origin))
        return items
    return tracked_scalar(value, source)


def step(path: str, key: str) -> str:
    """The path of a key below `path`: `.name`, or `["any text"]` where the key is no plain name."""
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def unwrap(value: Any) -> Any:
    """The plain value behind a tracked one, through dicts, lists and tuples."""
    if isinstance(value, str):
        return str.__getitem__(value, slice(None)) if isinstance(value, Tracked) else value
    if isinstance(value, dict):
        return {unwrap(key): unwrap(item) for key, item in value.items()}
    if type(value) in (list, TrackedList):
        return [unwrap(item) for item in value]
    if type(value) is tuple:
        return tuple(unwrap(item) for item in value)
    return untracked(value)


def dumped(source: Source) -> Source:
    """Where the dump of a value from `source` is from: a whole tool, a call's whole arguments, else the field."""
    if source.path is None or source.origin not in ("message", "tool"):
        return source
    whole = (_TOOL if source.origin == "tool" else _ARGUMENTS).match(source.path)
    return Source(source.origin, whole.group()) if whole else source
