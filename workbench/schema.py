"""Whether plain JSON has the shape of a value, told by the value's own type hints; what is wrong first, and where.

What is read back from a file was written by anybody. `fault` sees it before a value is made of it. In JSON a tuple is
a list, a NamedTuple a list or an object, a dataclass an object, bytes are base64, a NaN is null or its name.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from workbench.values import FrozenJSON, clip

LARGEST = 2**63
NOT_FINITE = ("nan", "inf", "-inf")
BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
SHOWN = 60  # characters of a wrong value
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    bytes: "base64",
    types.NoneType: "null",
}


class Fault(NamedTuple):
    """Where a value is not what it should be: `.steps[3].id`; what stands there; what should."""

    place: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.place.removeprefix('.') or 'it'} is {self.found} instead of {self.wanted}"


def fault(value: Any, hint: Any) -> Fault | None:
    """The first thing in `value` that the hint does not allow, None where all of it fits.

    A hint is a type, or a dict of hints for an object with these keys, of which those may be missing that may be null.
    """
    if hint is Any or hint is FrozenJSON:
        return None
    if isinstance(hint, dict):
        return _object(value, hint, {name for name, inner in hint.items() if fault(None, inner) is None})
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _either(value, arguments)
    if origin is Literal:
        return None if value in arguments and type(value) is str else _wrong(value, f"one of {', '.join(arguments)}")
    if origin in (list, tuple):
        return _list(value, arguments)
    if origin is dict:
        return _dict(value, arguments[1])
    if _is_record(hint):
        return _record(value, hint)
    return None if _fits(hint)(value) else _wrong(value, _words(hint))


def _fits(hint: Any) -> Callable[[Any], bool]:
    """The test of a single value."""
    if get_origin(hint) is Annotated:
        low, high = get_args(hint)[1]
        return lambda value: type(value) is int and low <= value <= high
    tests: dict[Any, Callable[[Any], bool]] = {
        int: lambda value: type(value) is int and -LARGEST <= value < LARGEST,
        float: lambda value: value is None or type(value) in (int, float) or value in NOT_FINITE,
        bytes: lambda value: type(value) is str and BASE64.fullmatch(value) is not None,
        types.NoneType: lambda value: value is None,
    }
    return tests.get(hint, lambda value: type(value) is hint)


def _words(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        low, high = get_args(hint)[1]
        return f"a whole number from {low:,} to {high:,}"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _either(value: Any, hints: Sequence[Any]) -> Fault | None:
    """The fault of the one alternative that is not null, which tells more than "none of them"."""
    if value is None and types.NoneType in hints:
        return None
    faults = [fault(value, hint) for hint in hints if hint is not types.NoneType]
    return None if None in faults else faults[0]


def _list(value: Any, hints: Sequence[Any]) -> Fault | None:
    """A list of one kind, or of as many items as there are hints."""
    if not isinstance(value, list):
        return _wrong(value, "a list")
    if len(hints) == 1 or hints[1:] == (...,):
        return _all(value, hints[0])
    if len(value) != len(hints):
        return _wrong(value, f"a list of {len(hints)}")
    return _first((f"[{i}]", fault(*pair)) for i, pair in enumerate(zip(value, hints, strict=True)))


def _all(items: list[Any], hint: Any) -> Fault | None:
    """The items of a list of one kind, where they are single values by one test."""
    if get_origin(hint) is Annotated or (isinstance(hint, type) and hint in WORDS):
        fits = _fits(hint)
        wrong = next((i for i, item in enumerate(items) if not fits(item)), None)
        return None if wrong is None else _wrong(items[wrong], _words(hint))._replace(place=f"[{wrong}]")
    return _first((f"[{i}]", fault(item, hint)) for i, item in enumerate(items))


def _dict(value: Any, hint: Any) -> Fault | None:
    if not isinstance(value, dict):
        return _wrong(value, "an object")
    return _first((f".{clip(name, SHOWN)}", fault(item, hint)) for name, item in value.items())


def _object(value: Any, hints: dict[str, Any], optional: set[str]) -> Fault | None:
    if not isinstance(value, dict):
        return _wrong(value, "an object")
    missing = next((name for name in hints if name not in value and name not in optional), None)
    if missing is not None:
        return _wrong(value, f"an object with {missing!r}")
    return _first((f".{name}", fault(value[name], hint)) for name, hint in hints.items() if name in value)


def _record(value: Any, kind: Any) -> Fault | None:
    """A NamedTuple (as a list too, with no other keys) or a dataclass."""
    hints, optional = _hints(kind)
    if dataclasses.is_dataclass(kind):
        return _object(value, hints, optional)
    if isinstance(value, list):
        return _list(value, tuple(hints.values()))
    other = next((name for name in value if name not in hints), None) if isinstance(value, dict) else None
    if other is not None:
        return _wrong(value, f"an object without {clip(other, SHOWN)!r}")
    return _object(value, hints, optional)


@functools.cache
def _hints(kind: Any) -> tuple[dict[str, Any], set[str]]:
    """The fields with their hints, and those that may be left out."""
    hints, missing = get_type_hints(kind, include_extras=True), dataclasses.MISSING
    if not dataclasses.is_dataclass(kind):
        return hints, set(kind._field_defaults)
    own = {f.name for f in dataclasses.fields(kind) if f.default is not missing or f.default_factory is not missing}
    return hints, own


def _is_record(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or (isinstance(hint, type) and hasattr(hint, "_field_defaults"))


def _first(faults: Any) -> Fault | None:
    return next((found._replace(place=step + found.place) for step, found in faults if found is not None), None)


def _wrong(value: Any, wanted: str) -> Fault:
    if isinstance(value, dict | list):
        return Fault("", f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,}", wanted)
    if type(value) is int and not -LARGEST <= value < LARGEST:
        return Fault("", "a number of more than 64 bits", wanted)
    return Fault("", clip(json.dumps(value), SHOWN), wanted)
