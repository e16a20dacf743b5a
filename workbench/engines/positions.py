"""Line and column of every piece of a template: a lexer whose line numbers know their offset in the source."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from jinja2 import nodes

from .origins import Run, Runs, Source
from .relex import ResumingLexer, normalised

_ESCAPE = re.compile(r"\\(?:\n|[\\'\"abfnrtv]|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]+\})")


class Place(NamedTuple):
    """A line and a column of the template, both from 1."""

    line: int
    column: int


class Position(int):
    """A line number of jinja's, with `offset` in the normalised source."""

    offset: int


class PositionLexer(ResumingLexer):
    """Jinja's lexer, its line numbers being `Position`s."""

    source_map: SourceMap

    def begin(self, source: str) -> None:
        """A source is about to be read."""
        self.source_map = SourceMap(source)

    def line(self, number: int, offset: int) -> int:
        """The line number that knows its offset."""
        position = Position(number)
        position.offset = offset
        return position

    def moved(self, line: int, lines: int, offset: int) -> int:
        """The same, further on."""
        return self.line(line + lines, line.offset + offset)  # type: ignore[attr-defined]

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """As jinja's, each with its `Position`."""
        self.begin(source)
        self.reached = 0
        yield from self.placed(super().tokeniter(source, name, filename, state), self.source_map.text)


class SourceMap:
    """A template's text with its line starts: offsets to places, literals to runs."""

    def __init__(self, source: str) -> None:
        self.text = normalised(source)
        self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, offset: int) -> Place:
        """Line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)

    def skip_space(self, offset: int) -> int:
        """The offset of the first character at or behind `offset` that is no white space."""
        return offset + len(self.text[offset:]) - len(self.text[offset:].lstrip())

    def place_of(self, node: nodes.Node) -> Place:
        """Where a node begins: the first of its own and its parts' positions."""
        offsets = [
            part.lineno.offset for part in (node, *node.find_all(nodes.Node)) if isinstance(part.lineno, Position)
        ]
        return self.place(min(offsets)) if offsets else Place(int(node.lineno or 1), 1)

    def expression_on(self, tree: nodes.Node, line: int) -> Place:
        """The first expression or tag on a line, the line's start where there is none."""
        offsets = [
            part.lineno.offset
            for part in tree.find_all(nodes.Node)
            if isinstance(part.lineno, Position) and not isinstance(part, nodes.TemplateData | nodes.Output)
        ]
        places = [self.place(offset) for offset in sorted(offsets)]
        return next((place for place in places if place.line == line), Place(line, 1))

    def literal(self, text: str, position: object) -> Runs:
        """The runs of a literal: verbatim where the source has the same text, escapes at their own place."""
        if not text or not isinstance(position, Position):
            return ((len(text), Source("template"), -1, None),)
        offset = position.offset
        if self.text.startswith(text, offset):
            return ((len(text), self._source_at(offset), offset, None),)
        if self.text[offset : offset + 1] in ("'", '"'):
            runs = self._string(text, offset + 1)
            if runs:
                return runs
        return ((len(text), self._source_at(offset), -1, None),)

    def _source_at(self, offset: int) -> Source:
        place = self.place(offset)
        return Source("template", None, self.text, place.line, place.column)

    def _string(self, text: str, offset: int) -> Runs:
        """Runs of a string literal's content from `offset` on; none where they cannot be told for certain."""
        runs: list[Run] = []
        done = 0
        while done < len(text):
            match = _ESCAPE.match(self.text, offset)
            if match:
                value = match.group().encode("ascii", "backslashreplace").decode("unicode-escape")
                if not value or not text.startswith(value, done):
                    return ()
                runs.append((len(value), self._source_at(offset), -1, None))
                offset, done = match.end(), done + len(value)
                continue
            stop = self.text.find("\\", offset)
            stop = len(self.text) if stop < 0 or stop == offset else stop
            length = _common(self.text, offset, text, done, stop - offset)
            if not length:
                return ()
            runs.append((length, self._source_at(offset), offset, None))
            offset, done = offset + length, done + length
        return tuple(runs)


def _common(a: str, i: int, b: str, j: int, limit: int) -> int:
    """How many characters a[i:] and b[j:] have in common, up to `limit`."""
    limit = min(limit, len(a) - i, len(b) - j)
    if a.startswith(b[j : j + limit], i):
        return limit
    return next((n for n in range(limit) if a[i + n] != b[j + n]), limit)
