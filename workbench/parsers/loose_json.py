"""One JSON value out of a model's text: strict first, then with the repairs that it took, each said."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections import Counter
from typing import Any, NamedTuple

# Each alternative begins with a whole text in double quotes, so that nothing inside one is touched by accident.
TEXT = r'("(?:[^"\\]|\\.)*+")'
ANY_TEXT = re.compile(TEXT, re.DOTALL)
TRAILING_COMMA = re.compile(TEXT + r"|,(?=\s*[}\]])", re.DOTALL)
PYTHON_WORD = re.compile(TEXT + r"|\b(True|False|None)\b", re.DOTALL)
ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')  # group 1: what JSON allows behind a backslash
JSON_WORDS = {"True": "true", "False": "false", "None": "null"}
WINDOW = 4096  # characters that are read at first
EDGE = 16  # an error so near to the end of what was read may be due to the end; longer than any word of JSON
VALUE_STARTS = frozenset('{["-0123456789tfnNI')
MAX_REPAIR = 200_000  # characters; beyond that a text is not rewritten in search of a repair


class Found(NamedTuple):
    """A value at [start, end) of the text (null is one too), or None and what the `error` is.

    `at_end`: the text stopped too early for the value.
    """

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
    if start < len(text) and text[start] not in VALUE_STARTS:
        return Found(None, start, start, (), "Expecting value at character 0")
    duplicates: list[str] = []
    try:
        value, end = _decode_at(text, start, duplicates)
    except (ValueError, RecursionError) as error:
        return _repaired(text, start, repair_to, error)
    return Found(value, start, end, _said(duplicates))


def _decode_at(text: str, start: int, duplicates: list[str]) -> tuple[Any, int]:
    """The value at `start` and where it ends. Errors: as `json`'s, with positions from `start` on.

    `json` counts the lines of all that it is given for an error: it is given a piece, and more where that is too short.
    """
    decoder, size = _decoder(duplicates, strict=True), WINDOW
    while True:
        window, is_rest = text[start : start + size], start + size >= len(text)
        duplicates.clear()
        try:
            value, end = decoder.raw_decode(window)
            if is_rest or end < len(window):
                return value, start + end
        except json.JSONDecodeError as error:
            at_edge = error.msg.startswith("Unterminated") or error.pos > len(window) - EDGE
            if is_rest or not at_edge:
                raise
        size *= 4


def _repaired(text: str, start: int, limit: int, error: Exception) -> Found:
    """The value with one of the known repairs, else the strict reader's error."""
    stop = _object_end(text, start, limit)
    if stop is not None and stop - start <= MAX_REPAIR:
        for repair in (_near_json, _python_literal):
            found = repair(text[start:stop])
            if found is not None and isinstance(found.value, dict):
                return found._replace(start=start, end=stop)
    message = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
    return Found(None, start, start, (), message or type(error).__name__, at_end=stop is None)


def _near_json(body: str) -> Found | None:
    """JSON with a few known faults. Each is none in good JSON, so that one text may have several of them."""
    repairs = []
    for said, rewrite in (
        ("a backslash that begins no JSON escape was kept as it stands", _with_backslashes),
        ("a comma stood in front of a closing bracket", _without_commas),
        ("True, False or None stood for true, false or null", _with_json_words),
    ):
        rewritten = rewrite(body)
        repairs += [said] if rewritten != body else []
        body = rewritten
    control = "a text held an unescaped line break or control character"
    return _decoded(body, repairs, strict=True) or _decoded(body, [*repairs, control], strict=False)


def _with_backslashes(body: str) -> str:
    r"""`"\d"` as `"\\d"`: the two characters that the model wrote; good escapes keep their meaning."""
    return ANY_TEXT.sub(lambda text: ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text[1]), body)


def _without_commas(body: str) -> str:
    return TRAILING_COMMA.sub(lambda found: found[1] or "", body)


def _with_json_words(body: str) -> str:
    return PYTHON_WORD.sub(lambda found: found[1] or JSON_WORDS[found[2]], body)


def _python_literal(body: str) -> Found | None:
    """A Python dict in place of JSON, told by its single quotes; a bad escape stays as the model wrote it."""
    if "'" not in ANY_TEXT.sub("", body):
        return None
    try:
        with warnings.catch_warnings(record=True) as bad_escapes:
            warnings.simplefilter("always")
            value = ast.literal_eval(body)
        plain = json.loads(json.dumps(value, allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    kept = ("a backslash that begins no Python escape was kept as it stands",) if bad_escapes else ()
    return Found(plain, 0, 0, ("the call was a Python literal, not JSON", *kept))


def _decoded(body: str, repairs: list[str], *, strict: bool) -> Found | None:
    duplicates: list[str] = []
    try:
        value = _decoder(duplicates, strict=strict).decode(body)
    except (ValueError, RecursionError):
        return None
    return Found(value, 0, 0, (*repairs, *_said(duplicates)))


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
