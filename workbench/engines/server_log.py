"""Why a llama-server did not start, by what it wrote."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

# A line of llama.cpp's log: the time, the level (E is an error), and who says it.
_LINE = re.compile(r"^\d+(?:\.\d+){2,} ([A-Z]) (?:\w+ {2,})?(?:(?!parser|lexer)\w+: )*", re.MULTILINE)
_LAST = "exiting due to"  # what a server writes last; its log is written by a thread of its own
_LAST_WAIT_S = 1.0
_PLACE = re.compile(r"at line (\d+), column (\d+) in source")
_ERROR = "\nError: "  # before a template's own words
_MOST = 4_000  # characters of a reason that are kept


class Reason(NamedTuple):
    """What a server wrote, with the place in its template (from 1) where it told one."""

    words: str
    line: int | None = None
    column: int | None = None


class DidNotStart(Exception):
    """A server that ended before it answered."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.words)
        self.reason = reason


def reason_of(log: str) -> Reason:
    """The first error of a log, without the time and the names of functions; the last line where none is marked."""
    entries = [*_LINE.finditer(log)]
    starts = [*(entry.start() for entry in entries), len(log)]
    said = [log[entry.end() : end].strip() for entry, end in zip(entries, starts[1:], strict=True) if entry[1] == "E"]
    first = next(filter(None, said), None)
    if first is None:
        return Reason((log.strip().splitlines() or ["it wrote nothing"])[-1].strip())
    head, _, own = first.partition(_ERROR)
    words = f"{head.splitlines()[0].strip()} {own.strip()}" if own else head
    place = _PLACE.search(head)
    line, column = (int(place[1]), int(place[2])) if place else (None, None)
    return Reason(words[:_MOST], line, column)


def log_file() -> IO[bytes]:
    """A file for what a server writes: in memory and without a name where the system can, else one that vanishes."""
    return os.fdopen(os.memfd_create("log"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


def started(begin: Callable[[], Any]) -> Any:
    """What `begin` gives, a server; what C++ writes meanwhile is kept. Errors: `DidNotStart`."""
    with log_file() as log:
        try:
            with _written_to(log):
                return begin()
        except RuntimeError as error:
            said = _read(log) or str(error)
            sys.stderr.write(said)
            raise DidNotStart(reason_of(said)) from error


@contextlib.contextmanager
def _written_to(log: IO[bytes]) -> Iterator[None]:
    """Standard error goes to `log`, until the server that failed has written its last line."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    except RuntimeError:
        until = time.monotonic() + _LAST_WAIT_S
        while _LAST not in _read(log) and time.monotonic() < until:
            time.sleep(0.005)
        raise
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _read(log: IO[bytes]) -> str:
    return os.pread(log.fileno(), 1 << 20, 0).decode("utf-8", "replace")
