"""Numbers, true, false and null of a request that know which field they are: stand-ins that behave as the real ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from .origins import COMPUTED, UNKNOWN, Source, Tracked, run


class _Number:
    """What the tracked numbers share: `source_`, and a `str()` that carries it."""

    source_: Source

    def __str__(self) -> str:
        text = str(untracked(self))
        return Tracked(text, run(text, self.source_))

    def __repr__(self) -> str:
        return repr(untracked(self))

    def __format__(self, spec: str) -> str:
        return format(untracked(self), spec)


class TrackedInt(_Number, int):
    """A whole number of the request."""


class TrackedFloat(_Number, float):
    """A floating-point number of the request."""


class TrackedBool(_Number, int):
    """True or false of the request; the tests that ask for `is True` are taught to know it."""


class TrackedNone:
    """Null of the request; equal to None, and false."""

    def __init__(self, source: Source) -> None:
        self.source_ = source

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, TrackedNone)

    def __hash__(self) -> int:
        return hash(None)

    def __str__(self) -> str:
        return Tracked("None", run("None", self.source_))

    def __repr__(self) -> str:
        return "None"


Scalar = TrackedInt | TrackedFloat | TrackedBool | TrackedNone
SCALARS = (TrackedInt, TrackedFloat, TrackedBool, TrackedNone)


def tracked_scalar(value: Any, source: Source) -> Any:
    """`value` (a number, a boolean or None) with its source; anything else as it is."""
    if value is None:
        return TrackedNone(source)
    kinds: dict[type, Callable[[Any], Any]] = {bool: TrackedBool, int: TrackedInt, float: TrackedFloat}
    kind = kinds.get(type(value))
    if kind is None:
        return value
    number = kind(value)
    number.source_ = source
    return number


def untracked(value: Any) -> Any:
    """The plain number, boolean or None behind a stand-in; anything else as it is."""
    if isinstance(value, TrackedBool):
        return int.__ne__(value, 0)
    if isinstance(value, TrackedInt):
        return int.__int__(value)
    if isinstance(value, TrackedFloat):
        return float.__float__(value)
    return None if isinstance(value, TrackedNone) else value


def derived(result: Any, *operands: Any) -> Any:
    """`result` computed from `operands`: their field where it is one, else its origin is unknown."""
    sources = {id(item.source_): item.source_ for item in operands if isinstance(item, SCALARS)}
    sources |= {id(piece[1]): piece[1] for item in operands if isinstance(item, Tracked) for piece in item.runs_}
    if not sources:
        return result
    return tracked_scalar(result, next(iter(sources.values())) if len(sources) == 1 else UNKNOWN)


def source_of(value: Any) -> Source:
    """Where a scalar came from. A plain number was computed by the template; a plain boolean may hang on content."""
    if isinstance(value, SCALARS):
        return value.source_
    return COMPUTED if type(value) in (int, float) else UNKNOWN


def _binary(function: Callable[[Any, Any], Any], *, swapped: bool) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        return derived(function(untracked(left), untracked(right)), self, other)

    return method


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        return derived(function(untracked(self), *(untracked(item) for item in arguments)), self)

    return method


_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
_UNARY: dict[str, Callable[..., Any]] = {
    "neg": operator.neg,
    "pos": operator.pos,
    "abs": abs,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
}
for _kind in (TrackedInt, TrackedFloat, TrackedBool):
    for _name in _BINARY:
        setattr(_kind, f"__{_name}__", _binary(getattr(operator, _name), swapped=False))
        setattr(_kind, f"__r{_name}__", _binary(getattr(operator, _name), swapped=True))
    for _name, _function in _UNARY.items():
        setattr(_kind, f"__{_name}__", _unary(_function))
