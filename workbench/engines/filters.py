"""The filters and tests of jinja2 that would lose an origin, written so that they keep it or say it is unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jinja2.filters
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_environment
from markupsafe import Markup

from .containers import TrackedDict, TrackedList, unwrap
from .dump import json_text
from .formatting import text_of
from .origins import COMPUTED, UNKNOWN, SafeTracked, Tracked, escaped, glue, run, runs_of
from .scalars import derived, tracked_scalar, untracked

_WORD_BEGINNINGS = re.compile(r"([-\s({\[<]+)")


def tojson(
    x: Any, ensure_ascii: Any = False, indent: Any = None, separators: Any = None, sort_keys: Any = False
) -> Tracked:
    """As the engine's `tojson`."""
    return json_text(x, ensure_ascii, indent, separators, sort_keys)


@pass_environment
def join(environment: Any, value: Any, d: Any = "", attribute: Any = None) -> Tracked:
    """Jinja's `join`."""
    if attribute is not None:
        value = map(jinja2.filters.make_attrgetter(environment, attribute), value)
    separator = text_of(d) if d else Tracked("", ())
    return separator.join(text_of(item) for item in value)


def string(value: Any) -> Any:
    """Jinja's `string`."""
    return value if isinstance(value, Tracked) else text_of(value)


def title(value: Any) -> Tracked:
    """Jinja's `title`: words split at white space and opening brackets."""
    text = text_of(value)
    pieces: list[Tracked] = []
    at = 0
    for part in _WORD_BEGINNINGS.split(unwrap(text)):
        if part:
            pieces += [text.part_(at, at + 1).upper(), text.part_(at + 1, at + len(part)).lower()]
        at += len(part)
    return Tracked("".join(pieces), glue(piece.runs_ for piece in pieces))


def indent(s: Any, width: Any = 4, first: Any = False, blank: Any = False) -> Any:
    """Jinja's `indent`: the white space it puts in is the template's."""
    if not isinstance(s, Tracked):
        return jinja2.filters.do_indent(s, width, first, blank)
    kind = type(s)
    newline = kind("\n", run("\n", COMPUTED))
    filler = width if isinstance(width, str) else kind(" " * width, run(" " * width, COMPUTED))
    lines = (s + newline).splitlines()
    if blank:
        result = (newline + filler).join(lines)
    else:
        result = newline.join([lines[0], *(filler + line if line else line for line in lines[1:])])
    return filler + result if first else result


def safe(value: Any) -> Any:
    """Jinja's `safe`."""
    if hasattr(value, "__html__"):
        return value
    text = text_of(value)
    return SafeTracked(text, text.runs_)


def truncate(environment: Any, s: Any, *args: Any, **kwargs: Any) -> Any:
    """Jinja's `truncate`; the sign it puts in by default is the template's."""
    if len(args) < 3 and "end" not in kwargs:
        kwargs["end"] = Tracked("...", run("...", COMPUTED))
    return jinja2.filters.do_truncate(environment, s, *args, **kwargs)


def lost(function: Callable[..., Any], *, environment_first: bool = False) -> Callable[..., Any]:
    """`function` on plain values; the origin of what it gives is unknown."""

    def filtered(*args: Any, **kwargs: Any) -> Any:
        head, rest = (args[:1], args[1:]) if environment_first else ((), args)
        result = function(*head, *map(unwrap, rest), **{name: unwrap(item) for name, item in kwargs.items()})
        if isinstance(result, Markup):
            return SafeTracked(str(result))
        if isinstance(result, str):
            return Tracked(result)
        return tracked_scalar(result, UNKNOWN)

    return pass_environment(filtered) if environment_first else filtered


def number(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, a filter that gives a number, its result being from the field it was computed from."""

    def filtered(value: Any, *args: Any, **kwargs: Any) -> Any:
        plain = function(untracked(value), *map(unwrap, args), **{name: unwrap(item) for name, item in kwargs.items()})
        operands = (value, *args, *kwargs.values())
        if any(isinstance(item, bool) for item in operands):
            return tracked_scalar(plain, UNKNOWN)  # what was compared to get it is not known
        return derived(plain, *operands)

    return filtered


def length(value: Any) -> Any:
    """Jinja's `length`: the number is from what is counted, unknown where that is from several places."""
    count = len(value)
    if isinstance(value, TrackedDict | TrackedList):
        return tracked_scalar(count, value.source_)
    if isinstance(value, Tracked) and value.runs_:
        return derived(count, value)
    return tracked_scalar(count, UNKNOWN)


def same_as(value: Any, other: Any) -> bool:
    """The test `sameas`."""
    return untracked(value) is untracked(other)


def install(environment: ImmutableSandboxedEnvironment) -> None:
    """Put the tracked filters and tests in the place of jinja's."""
    f = jinja2.filters
    environment.filters |= {
        "tojson": tojson,
        "join": join,
        "string": string,
        "title": title,
        "indent": indent,
        "safe": safe,
        "escape": escaped,
        "e": escaped,
        "forceescape": lambda value: escaped(text_of(value)),
        "truncate": pass_environment(truncate),
        "int": number(f.do_int),
        "float": number(f.do_float),
        "round": number(f.do_round),
        "length": length,
        "count": length,
        "wordcount": lost(f.do_wordcount),
        "filesizeformat": lost(f.do_filesizeformat),
        "striptags": lost(f.do_striptags),
        "urlencode": lost(f.do_urlencode),
        "wordwrap": lost(f.do_wordwrap, environment_first=True),
        "pprint": lost(f.do_pprint),
    }
    environment.tests |= {
        "none": lambda value: untracked(value) is None,
        "boolean": lambda value: untracked(value) is True or untracked(value) is False,
        "true": lambda value: untracked(value) is True,
        "false": lambda value: untracked(value) is False,
        "integer": lambda value: jinja2.tests.test_integer(untracked(value)),
        "number": lambda value: jinja2.tests.test_number(untracked(value)),
        "sameas": same_as,
    }


def joined(items: Any) -> Tracked:
    """The operator `~`, and what a buffer of outputs becomes."""
    pieces = [text_of(item) for item in items]
    return Tracked("".join(pieces), glue(runs_of(piece) for piece in pieces))
