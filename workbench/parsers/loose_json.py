"""One JSON value out of a model's text: strict first, then with the repairs that it took, each said."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections import Counter
from typing import Any, NamedTuple

TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*[}\]])', re.DOTALL)
MAX_REPAIR = 200_000  # characters; beyond that a text is not rewritten in search of a repair


class Found(NamedTuple):
    """A value at [start, end) of the text, or None with the error; `at_end`: the text stopped too early for it."""

    value: Any
    start: int
    end: int
    repairs: tuple[str, ...] = ()
    error: str = ""
    at_end: bool = False


def read_object(text: str, position: int, *, repair_to: int) -> Found:
    """The JSON value that starts at `position` (behind white space). Never raises.

    Repairs read no further than `repair_to`, so that a model that repeats itself costs no quadratic time.
    """
    start = position
    while start < len(text) and text[start].isspace():
        start += 1
    duplicates: list[str] = []
    try:
        value, end = _decoder(duplicates, strict=True).raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        return _repaired(text, start, repair_to, error)
    return Found(value, start, end, _said(duplicates))


def _repaired(text: str, start: int, limit: int, error: Exception) -> Found:
    """The value with one of the known repairs, else the strict reader's error."""
    stop = _object_end(text, start, limit)
    if stop is not None and stop - start <= MAX_REPAIR:
        for repair in (_line_breaks, _trailing_commas, _python_literal):
            found = repair(text[start:stop])
            if found is not None and isinstance(found.value, dict):
                return found._replace(start=start, end=stop)
    message = f"{error.msg} at character {error.pos - start}" if isinstance(error, json.JSONDecodeError) else str(error)
    return Found(None, start, start, (), message or type(error).__name__, at_end=stop is None)


def _line_breaks(body: str) -> Found | None:
    """Line breaks and other control characters inside texts, which JSON wants escaped."""
    return _decoded(body, "a text held an unescaped line break or control character", strict=False)


def _trailing_commas(body: str) -> Found | None:
    """A comma in front of a closing bracket."""
    without = TRAILING_COMMA.sub(lambda match: match[1] or "", body)
    return _decoded(without, "a comma stood in front of a closing bracket", strict=False)


def _python_literal(body: str) -> Found | None:
    """A Python dict in place of JSON: single quotes, True, None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(body)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return Found(json.loads(json.dumps(value)), 0, 0, ("the call was a Python literal, not JSON",))


def _decoded(body: str, repair: str, *, strict: bool) -> Found | None:
    duplicates: list[str] = []
    try:
        value = _decoder(duplicates, strict=strict).decode(body)
    except (ValueError, RecursionError):
        return None
    return Found(value, 0, 0, (repair, *_said(duplicates)))


def _decoder(duplicates: list[str], *, strict: bool) -> json.JSONDecoder:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            counts = Counter(key for key, _ in items)
            duplicates.extend(key for key, count in counts.items() if count > 1)
        return found

    return json.JSONDecoder(object_pairs_hook=pairs, parse_constant=_refuse, parse_float=_finite, strict=strict)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is larger than a number can be")
    return value


def _said(duplicates: list[str]) -> tuple[str, ...]:
    return tuple(f"the key {key!r} stands twice: the last one counts" for key in dict.fromkeys(duplicates))


def _object_end(text: str, start: int, limit: int) -> int | None:
    """Where the bracket at `start` closes, None where it does not before `limit`; `start` where there is none."""
    if not text.startswith("{", start):
        return start if start < len(text) else None
    depth, quote, position = 0, "", start
    while position < limit:
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    return None
