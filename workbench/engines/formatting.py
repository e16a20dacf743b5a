"""`%` and `str.format` with origins: what stands between the values keeps the pattern's, each value its own."""

from __future__ import annotations

import re
from string import Formatter
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter

from .containers import unwrap
from .dump import python_text
from .origins import COMPUTED, UNKNOWN, Runs, Tracked, changed, glue, run, spread
from .scalars import SCALARS, source_of

_DIRECTIVE = re.compile(
    r"%(?:\((?P<name>[^)]*)\))?[#0\- +]*(?P<width>\*|\d+)?(?:\.(?P<digits>\*|\d+))?[hlL]?(?P<kind>.)"
)


def text_of(value: Any) -> Tracked:
    """What a template prints for `value`, with origins: unknown where a plain text or boolean came by."""
    if isinstance(value, Tracked):
        return value if type(value) is Tracked else Tracked(unwrap(value), value.runs_)
    if type(value) in (dict, list, tuple):
        return python_text(value)
    text = str(value)
    if isinstance(text, Tracked):
        return text
    return Tracked(text, run(text, COMPUTED) if type(value) in (int, float) else None)


def percent(pattern: Tracked, values: Any) -> Tracked:
    """`pattern % values`."""
    text = str.__mod__(pattern, unwrap(values))
    runs: list[Runs] = []
    arguments = list(values) if isinstance(values, tuple) else [values]
    at = used = 0
    for match in _DIRECTIVE.finditer(unwrap(pattern)):
        runs.append(pattern.part_(at, match.start()).runs_)
        at = match.end()
        if "*" in (match["width"], match["digits"]):
            return Tracked(text)
        if match["kind"] == "%":
            runs.append(changed(pattern.part_(at - 1, at).runs_))
            continue
        value = values[match["name"]] if match["name"] is not None else arguments[used]
        used += match["name"] is None
        written = str.__mod__(match.group(), unwrap(values) if match["name"] is not None else (unwrap(value),))
        runs.append(_value_runs(written, value))
    return _checked(text, glue([*runs, pattern.part_(at, len(pattern)).runs_]), pattern)


def _value_runs(written: str, value: Any) -> Runs:
    """The runs of a formatted value."""
    if isinstance(value, Tracked):
        return value.runs_ if str.__eq__(value, written) else spread(written, changed(value.runs_))
    if isinstance(value, SCALARS) or type(value) in (int, float):
        return run(written, source_of(value))
    plain = text_of(value)
    return plain.runs_ if str.__eq__(plain, written) else run(written, UNKNOWN)


def _checked(text: str, runs: Runs, pattern: Tracked) -> Tracked:
    fits = sum(piece[0] for piece in runs) == len(text)
    return type(pattern)(text, runs if fits else None)


class TrackedFormatter(SandboxedFormatter):
    """Jinja's sandboxed `str.format`, the result with origins."""

    def __init__(self, environment: ImmutableSandboxedEnvironment) -> None:
        super().__init__(environment)

    def tracked(self, pattern: Tracked, args: tuple[Any, ...], kwargs: Any) -> Tracked:
        """`pattern.format(*args, **kwargs)`."""
        text = self.vformat(unwrap(pattern), args, kwargs)
        runs: list[Runs] = []
        at = count = 0
        plain = unwrap(pattern)
        for literal, field, spec, conversion in Formatter().parse(plain):
            if not plain.startswith(literal, at):
                return Tracked(text)
            runs.append(pattern.part_(at, at + len(literal)).runs_)
            at += len(literal)
            if field is None:
                at += literal[-1:] in ("{", "}")  # a brace stands there twice, and the first is the one written
                continue
            at += len(field) + 1
            at += len(spec or "") + 1 if plain.startswith(":", at) else 0
            if "{" in (spec or "") or conversion or not plain.startswith("}", at):
                return Tracked(text)
            at += 1
            name = field
            if field == "":
                name, count = str(count), count + 1
            value, _ = self.get_field(name, args, kwargs)
            written = format(unwrap(value), spec or "")
            runs.append(_value_runs(written, value))
        return _checked(text, glue(runs), pattern)
