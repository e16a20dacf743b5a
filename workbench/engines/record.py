"""What an instrumented template tells while it runs: its outputs, branches, loop turns, assignments and calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2.runtime import Macro

from .formatting import text_of
from .origins import COMPUTED, UNKNOWN, Runs, Source, Tracked, run
from .positions import SourceMap
from .scalars import SCALARS, tracked_scalar

MAX_EVENTS = 20_000
BLOCK = " (a block)"
_SHOWN = 60  # characters of a value that an event shows
_LONG = 200  # bits of a number that is written out

# kind, line, column, detail, start, end; one list an event, its extent widened once the text is there
Event = list[Any]


class Recorder:
    """Events of one run, in order, at most `MAX_EVENTS`; `position` is the length of the text so far."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, expected: list[str] | None = None) -> None:
        """Forget the last run; `expected` is what each output of the next should write, where that is known."""
        self.expected = expected
        self.pieces: list[str] = []
        self.events: list[Event] = []
        self.dropped = 0
        self.position = 0
        self.place = (0, 0)
        self._turns: dict[tuple[int, int], int] = {}

    def _add(self, kind: str, line: int, column: int, detail: str) -> Event:
        event = [kind, line, column, detail, self.position, self.position]
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.dropped += 1
        self.place = (line, column)
        return event

    def out(self, line: int, column: int, root: bool, constant: bool, value: Any) -> Tracked:
        """The text of an output expression, every part of it that no inner expression wrote marked as from here."""
        if constant and not isinstance(value, str):
            text = Tracked(str(value), run(str(value), COMPUTED))
        else:
            text = text_of(value)
        if root and self.expected is not None:
            text = self._as_expected(text)
        event = self._add("output", line, column, "")
        event[5] += len(text) if root else 0
        runs = tuple((n, source, offset, event if by is None else by) for n, source, offset, by in text.runs_)
        return Tracked(text, runs)

    def _as_expected(self, text: Tracked) -> Tracked:
        index = len(self.pieces)
        expected = self.expected or []
        same = index >= len(expected) or str.__eq__(text, expected[index])
        return text if same else Tracked(expected[index])

    def counted(self, value: Any) -> Any:
        """A number that hangs on what a loop goes over."""
        return tracked_scalar(value, UNKNOWN) if type(value) is int else value

    def steps(self) -> list[Event]:
        """Kind, line and column of every event."""
        return [event[:3] for event in self.events]

    def test(self, line: int, column: int, value: Any) -> Any:
        """The value of a condition."""
        self._add("if", line, column, "taken" if value else "not taken")
        return value

    def enter(self, line: int, column: int, value: Any) -> Any:
        """What a loop goes over."""
        self._turns[line, column] = 0
        self.place = (line, column)
        return value

    def turn(self, line: int, column: int, loop: Any = None) -> None:
        """One turn of a loop begins; a recursive one counts its own."""
        count = loop.index if loop is not None else self._turns.get((line, column), 0) + 1
        self._turns[line, column] = count
        self._add("loop", line, column, f"turn {count}")

    def set(self, line: int, column: int, name: str, value: Any) -> Any:
        """The value that `name` gets."""
        self._add("set", line, column, name if name.endswith(BLOCK) else f"{name} = {shown(value)}")
        return value

    def at(self, line: int, column: int, value: Any) -> Any:
        """What is about to be called."""
        self.place = (line, column)
        if isinstance(value, Macro):
            self._add("call", line, column, f"macro {value.name}" if value.name else "caller")
        return value

    def root(self, pieces: Iterable[Tracked]) -> Tracked:
        """The whole text out of what the template yields."""
        runs: list[Any] = []
        for piece in pieces:
            self.position += len(piece)
            self.pieces.append(piece)
            runs.extend(piece.runs_)
        return Tracked("".join(self.pieces), tuple(runs))


class PlainRecorder(Recorder):
    """The recorder of a run on plain values: the same steps, every value passed on as jinja writes it."""

    def out(self, line: int, column: int, root: bool, constant: bool, value: Any) -> Any:  # noqa: ARG002
        """The output's text."""
        self._add("output", line, column, "")
        return str(value)

    def counted(self, value: Any) -> Any:
        """The number as it is."""
        return value


def shown(value: Any) -> str:
    """A value in a few words: a short repr, or what it is and how long."""
    if isinstance(value, str):
        text = str.__getitem__(value, slice(_SHOWN))
        return repr(text) + (f"… ({len(value):,} characters)" if len(value) > _SHOWN else "")
    if isinstance(value, dict | list | tuple):
        return f"{len(value)} items"
    if isinstance(value, int) and abs(value).bit_length() > _LONG:
        return f"a number of {value.bit_length():,} bits"
    if isinstance(value, int | float | type(None)):
        return repr(value)
    return repr(value) if isinstance(value, SCALARS) else type(value).__name__


Row = tuple[int, int, str, str | None, int | None, int | None, bool, int | None]


def spans_of(text: Tracked, source_map: SourceMap) -> list[Row]:
    """The runs as rows `(start, end, origin, path, line, column, verbatim, offset)` that tile the text.

    A claim of verbatim text is held against its field; what does not hold is unknown. Output events
    get the extent of what they wrote.
    """
    plain = str.__getitem__(text, slice(None))
    rows: list[Row] = []
    at = 0
    last: tuple[Any, ...] = ()
    for length, source, offset, event in _merged(text.runs_):
        if not length:
            continue
        if event is not None:
            _widen(event, at, at + length)
        row = _row(plain, at, at + length, source, offset, event, source_map)
        key = row[2:7]
        if rows and key == last and not row[6]:
            rows[-1] = (rows[-1][0], at + length, *row[2:])
        else:
            rows.append(row)
        last = key
        at += length
    return rows


def _merged(runs: Runs) -> Runs:
    result: list[Any] = []
    for piece in runs:
        if result:
            length, source, offset, event = result[-1]
            if source is piece[1] and event is piece[3] and piece[2] == (offset + length if offset >= 0 else -1):
                result[-1] = (length + piece[0], source, offset, event)
                continue
        result.append(piece)
    return tuple(result)


def _widen(event: Event, start: int, end: int) -> None:
    event[4], event[5] = (start, end) if event[4] == event[5] else (min(event[4], start), max(event[5], end))


def _row(plain: str, start: int, end: int, source: Source, offset: int, event: Any, source_map: SourceMap) -> Row:
    verbatim = offset >= 0
    if verbatim and (source.text is None or not source.text.startswith(plain[start:end], offset)):
        source, verbatim = UNKNOWN, False
    line, column = (event[1], event[2]) if event is not None else (None, None)
    if source.origin == "template" and verbatim:
        line, column = source_map.place(offset)
    elif source.origin == "template" and source.line:
        line, column = source.line, source.column
    where = offset if verbatim and source.path is not None else None
    return start, end, source.origin, source.path, line, column, verbatim, where
