"""Reads what may never come: a pipe that nobody writes to, a terminal. An interrupt ends it, and a line tells of it."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

NOTICE_S = 3.0  # without anything coming
CHUNK = 1 << 16  # bytes


def read_at_most(file: BinaryIO, name: str, what: str, most: int) -> bytes:
    """The bytes of an open file, up to `most`; a pipe is waited for, by `name` and `what` it is. Errors: `OSError`."""
    size = _size(file)
    if size is not None:
        return file.read(min(max(size + 1, CHUNK), most))  # a buffer of `most` would be made at once
    parts, left = [], most
    with noticed(name, what) as notice:
        while left and (part := file.read1(min(CHUNK, left))):  # type: ignore[attr-defined]  # every buffered one has it
            parts.append(part)
            left -= len(part)
            notice.came()
    return b"".join(parts)


class Notice:
    """One line on stderr as soon as nothing has come for `NOTICE_S` seconds."""

    def __init__(self, line: str) -> None:
        self._line, self._timer = line, threading.Timer(0, lambda: None)
        self.came()

    def came(self) -> None:
        """Something came: count from here."""
        self._timer.cancel()
        self._timer = threading.Timer(NOTICE_S, self._tell)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Nothing more is waited for."""
        self._timer.cancel()

    def _tell(self) -> None:
        sys.stderr.write(f"{self._line}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def noticed(name: str, what: str) -> Iterator[Notice]:
    """While the block lasts, a line says what it waits for."""
    notice = Notice(f"workbench: waiting for {what} from {name}: nothing has come for {NOTICE_S:g} s; Ctrl-C ends this")
    try:
        yield notice
    finally:
        notice.end()


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file to read; a pipe opens when somebody writes to it. Errors: `OSError`, `ValueError` for such a name."""
    if stat.S_ISREG(path.stat().st_mode):
        with path.open("rb") as file:
            yield file
        return
    with noticed(str(path), what):
        file = path.open("rb")
    with file:
        yield file


def _size(file: BinaryIO) -> int | None:
    """Bytes of a regular file, None for anything else."""
    try:
        state = os.fstat(file.fileno())
    except (OSError, ValueError):  # a stream without a file, as in tests
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None
