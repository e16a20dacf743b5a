"""Texts that know where each of their characters came from, through everything a template can do with a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Self

from markupsafe import escape as escape_characters


class Source:
    """A place that characters come from.

    `origin` is template, message, tool, default or unknown; `path` the field's name, None for the
    template; `text` the whole field (or template) that offsets count in, None where there are no
    offsets; `line` and `column` (from 1) a literal's place in the template.
    """

    __slots__ = ("column", "line", "origin", "path", "text")

    def __init__(
        self, origin: str, path: str | None = None, text: str | None = None, line: int = 0, column: int = 0
    ) -> None:
        self.origin = origin
        self.path = path
        self.text = text
        self.line = line
        self.column = column


UNKNOWN = Source("unknown")
COMPUTED = Source("template")  # written by the template without a literal of its own, such as a loop index

# length in code points (0 for an empty field, so that a dump of it knows where it is from), source, offset in the
# source's text (-1: changed on the way), the output event that wrote it
Run = tuple[int, Source, int, Any]
Runs = tuple[Run, ...]


def run(text: str, source: Source, offset: int = -1) -> Runs:
    """One run for all of `text`, none for the empty text."""
    return ((len(text), source, offset, None),) if text else ()


def runs_of(text: str) -> Runs:
    """The runs of a tracked text; a plain text's origin is unknown."""
    return text.runs_ if isinstance(text, Tracked) else run(text, UNKNOWN)


def cut(runs: Runs, start: int, stop: int) -> Runs:
    """The runs of text[start:stop], 0 <= start <= stop."""
    result: list[Run] = []
    at = 0
    for piece in runs if stop > start else ():
        length, source, offset, event = piece
        end = at + length
        if at >= stop:
            break
        if at >= start and end <= stop:
            result.append(piece)
        elif end > start:
            skip = max(start - at, 0)
            result.append((min(end, stop) - at - skip, source, offset + skip if offset >= 0 else -1, event))
        at = end
    return tuple(result)


def glue(parts: Iterable[Runs]) -> Runs:
    """Runs one after another, neighbours that continue each other made one."""
    result: list[Run] = []
    for runs in parts:
        for piece in runs:
            if result:
                length, source, offset, event = result[-1]
                follows = piece[2] == (offset + length if offset >= 0 else -1)
                if source is piece[1] and event is piece[3] and follows:
                    result[-1] = (length + piece[0], source, offset, event)
                    continue
            result.append(piece)
    return tuple(result)


def changed(runs: Runs) -> Runs:
    """The same places, the text no longer verbatim."""
    return tuple((length, source, -1, event) for length, source, _, event in runs)


def spread(text: str, runs: Runs) -> Runs:
    """Runs for a text made of all of `runs` in a way that is not known: their source where it is one, else unknown."""
    sources = {id(piece[1]): piece[1] for piece in runs if piece[0]} or {id(piece[1]): piece[1] for piece in runs}
    return run(text, next(iter(sources.values())) if len(sources) == 1 else UNKNOWN)


class Tracked(str):
    """A text with its runs. Every method gives what `str` gives, and tracked."""

    __slots__ = ("runs_",)
    runs_: Runs

    def __new__(cls, text: str, runs: Runs | None = None) -> Self:
        """`text` with `runs`, which cover it; None: its origin is unknown."""
        self = str.__new__(cls, text)
        self.runs_ = run(text, UNKNOWN) if runs is None else runs
        return self

    def part_(self, start: int, stop: int) -> Self:
        """The text from `start` to `stop`, 0 <= start <= stop."""
        return type(self)(str.__getitem__(self, slice(start, stop)), cut(self.runs_, start, stop))

    def _operand(self, other: str) -> str:
        return other

    def __str__(self) -> str:
        return self

    def __getitem__(self, key: Any) -> Tracked:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self.part_(start, max(start, stop))
            text = str.__getitem__(self, key)
            return type(self)(text, glue(cut(self.runs_, i, i + 1) for i in range(start, stop, step)))
        text = str.__getitem__(self, key)
        index = int(key)
        index += len(self) if index < 0 else 0
        return type(self)(text, cut(self.runs_, index, index + 1))

    def __iter__(self) -> Iterator[str]:
        at = 0
        for length, source, offset, event in self.runs_:
            for i in range(length):
                where = offset + i if offset >= 0 else -1
                yield type(self)(str.__getitem__(self, at + i), ((1, source, where, event),))
            at += length

    def __add__(self, other: str) -> Tracked:
        if not isinstance(other, str):
            return NotImplemented
        other = self._operand(other)
        return type(self)(str.__add__(self, other), self.runs_ + runs_of(other))

    def __radd__(self, other: str) -> Tracked:
        if not isinstance(other, str):
            return NotImplemented
        other = self._operand(other)
        return type(self)(str.__add__(other, self), runs_of(other) + self.runs_)

    def __mul__(self, count: Any) -> Tracked:
        text = str.__mul__(self, count)
        if text is NotImplemented:
            return NotImplemented
        if len(self.runs_) * int(count) > MAX_RUNS:
            return type(self)(text, spread(text, self.runs_))
        return type(self)(text, self.runs_ * max(int(count), 0))

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> Tracked:
        from .formatting import percent

        return percent(self, values)

    def __rmod__(self, pattern: str) -> Any:
        return NotImplemented if not isinstance(pattern, str) else Tracked(str.__mod__(pattern, self))

    def join(self, items: Iterable[str]) -> Tracked:
        """`str.join`; the separators come from this text."""
        parts = [self._operand(item) if isinstance(item, str) else item for item in items]
        text = str.join(self, parts)
        runs: list[Runs] = []
        for item in parts:
            if runs and self.runs_:
                runs.append(self.runs_)
            runs.append(runs_of(item))
        return type(self)(text, glue(runs))

    def strip(self, chars: str | None = None) -> Tracked:
        """`str.strip`."""
        start = len(self) - len(str.lstrip(self, chars))
        return self.part_(start, max(start, len(str.rstrip(self, chars))))

    def lstrip(self, chars: str | None = None) -> Tracked:
        """`str.lstrip`."""
        return self.part_(len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None) -> Tracked:
        """`str.rstrip`."""
        return self.part_(0, len(str.rstrip(self, chars)))

    def removeprefix(self, prefix: str) -> Tracked:
        """`str.removeprefix`."""
        return self.part_(len(prefix), len(self)) if str.startswith(self, prefix) else self

    def removesuffix(self, suffix: str) -> Tracked:
        """`str.removesuffix`."""
        cut_off = suffix and str.endswith(self, suffix)
        return self.part_(0, len(self) - len(suffix)) if cut_off else self

    def _located(self, parts: list[str], gap: int) -> list[Any]:
        """Parts that follow each other in this text, `gap` characters apart, as tracked texts."""
        ends = list(accumulate((len(part) + gap for part in parts), initial=0))
        return [self.part_(start, start + len(part)) for start, part in zip(ends, parts, strict=False)]

    def split(self, sep: str | None = None, maxsplit: Any = -1) -> list[Any]:
        """`str.split`."""
        parts = str.split(self, sep, maxsplit)
        if sep is not None:
            return self._located(parts, len(sep))
        found, at = [], 0
        for part in parts:
            at = str.find(self, part, at)
            found.append(self.part_(at, at + len(part)))
            at += len(part)
        return found

    def rsplit(self, sep: str | None = None, maxsplit: Any = -1) -> list[Any]:
        """`str.rsplit`."""
        parts = str.rsplit(self, sep, maxsplit)
        if sep is not None:
            return self._located(parts, len(sep))
        found, end = [], len(self)
        for part in reversed(parts):
            at = str.rfind(self, part, 0, end)
            found.append(self.part_(at, at + len(part)))
            end = at
        return found[::-1]

    def splitlines(self, keepends: Any = False) -> list[Any]:
        """`str.splitlines`."""
        lines = self._located(str.splitlines(self, True), 0)
        return lines if keepends else [line.part_(0, len(str.splitlines(line)[0])) for line in lines]

    def _parted(self, parts: tuple[str, str, str]) -> tuple[Any, ...]:
        return tuple(self._located(list(parts), 0))

    def partition(self, sep: str) -> tuple[Any, ...]:
        """`str.partition`."""
        return self._parted(str.partition(self, sep))

    def rpartition(self, sep: str) -> tuple[Any, ...]:
        """`str.rpartition`."""
        return self._parted(str.rpartition(self, sep))

    def replace(self, old: str, new: str, count: Any = -1) -> Tracked:
        """`str.replace`; what is put in keeps the origin of `new`."""
        if old and not str.__contains__(self, old):
            return self
        new = self._operand(new)
        text = str.replace(self, old, new, count)
        if not old:
            return type(self)(text, spread(text, self.runs_ + runs_of(new)))
        parts = self._located(str.split(self, old, count), len(old))
        put_in = runs_of(new)
        runs = [piece for part in parts for piece in (put_in, part.runs_)][1:]
        return type(self)(text, glue(runs))

    def _cased(self, text: str, convert: Any) -> Tracked:
        if str.__eq__(self, text):
            return self
        if len(text) == len(self):
            return type(self)(text, changed(self.runs_))
        plain, at, runs, converted = str.__getitem__(self, slice(None)), 0, [], []
        for length, source, _, event in self.runs_:
            converted.append(convert(plain[at : at + length]))
            runs.append((len(converted[-1]), source, -1, event))
            at += length
        same = "".join(converted) == text
        return type(self)(text, tuple(runs) if same else spread(text, self.runs_))

    def lower(self) -> Tracked:
        """`str.lower`."""
        return self._cased(str.lower(self), str.lower)

    def upper(self) -> Tracked:
        """`str.upper`."""
        return self._cased(str.upper(self), str.upper)

    def title(self) -> Tracked:
        """`str.title`."""
        return self._cased(str.title(self), str.title)

    def capitalize(self) -> Tracked:
        """`str.capitalize`."""
        return self._cased(str.capitalize(self), str.capitalize)

    def swapcase(self) -> Tracked:
        """`str.swapcase`."""
        return self._cased(str.swapcase(self), str.swapcase)

    def casefold(self) -> Tracked:
        """`str.casefold`."""
        return self._cased(str.casefold(self), str.casefold)

    def _padded(self, text: str, left: int, fill: str) -> Tracked:
        before, after = text[:left], text[left + len(self) :]
        fills = [run(pad, runs_of(fill)[0][1]) if fill else run(pad, COMPUTED) for pad in (before, after)]
        return type(self)(text, glue([fills[0], self.runs_, fills[1]]))

    def center(self, width: Any, fill: str = "") -> Tracked:
        """`str.center`."""
        text = str.center(self, width, fill or " ")
        pad, wide = len(text) - len(self), int(width)
        return self._padded(text, pad // 2 + (pad & wide & 1), fill)

    def ljust(self, width: Any, fill: str = "") -> Tracked:
        """`str.ljust`."""
        return self._padded(str.ljust(self, width, fill or " "), 0, fill)

    def rjust(self, width: Any, fill: str = "") -> Tracked:
        """`str.rjust`."""
        text = str.rjust(self, width, fill or " ")
        return self._padded(text, len(text) - len(self), fill)

    def zfill(self, width: Any) -> Tracked:
        """`str.zfill`."""
        text = str.zfill(self, width)
        return self if str.__eq__(self, text) else type(self)(text, spread(text, self.runs_))

    def expandtabs(self, tabsize: Any = 8) -> Tracked:
        """`str.expandtabs`."""
        text = str.expandtabs(self, tabsize)
        return self if str.__eq__(self, text) else type(self)(text, spread(text, self.runs_))

    def translate(self, table: Any) -> Tracked:
        """`str.translate`; its origin is unknown."""
        return type(self)(str.translate(self, table))


MAX_RUNS = 200_000  # more pieces than this are not worth their memory


class SafeTracked(Tracked):
    """A text marked as safe: what is joined to it is escaped first, as `markupsafe.Markup` does."""

    __slots__ = ()

    def _operand(self, other: str) -> str:
        return escaped(other)

    def __radd__(self, other: str) -> Tracked:  # its own, so that Python asks it before the text on the left
        if not isinstance(other, str):
            return NotImplemented
        return type(self).__add__(SafeTracked(escaped(other), runs_of(escaped(other))), self)

    def __str__(self) -> str:
        return Tracked(str.__str__(self), self.runs_)

    def __html__(self) -> str:
        return self


def escaped(text: Any) -> str:
    """`text` with the five HTML characters escaped, each entity from where its character came from."""
    if hasattr(text, "__html__"):
        inner = text.__html__()
        return inner if isinstance(inner, SafeTracked) else SafeTracked(str(inner))
    text = str(text)
    if not isinstance(text, Tracked):
        return SafeTracked(str(escape_characters(text)))
    if not any(str.__contains__(text, character) for character in "&<>'\""):
        return SafeTracked(text, text.runs_)
    parts, runs = [], []
    for character in text:
        entity = str(escape_characters(str.__getitem__(character, slice(None))))
        parts.append(entity)
        same = str.__eq__(character, entity)
        runs.append(runs_of(character) if same else spread(entity, runs_of(character)))
    return SafeTracked("".join(parts), glue(runs))
