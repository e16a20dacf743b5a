"""llama.cpp's log: written to stderr line by line in the model's process, kept (bounded) in the kernel.

A line reaches stderr before the next instruction runs, so the last words of a process that dies are
kept too; a failed assertion writes to the same place by itself.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections import deque
from typing import Any, BinaryIO

LEVEL_DEBUG, LEVEL_WARN, LEVEL_ERROR, LEVEL_CONT = 1, 3, 4, 5  # ggml.h: enum ggml_log_level
OVERRIDDEN = re.compile(r"Using metadata override \([^)]*\) '([^']+)'")
BUFFER = re.compile(r":\s+(\S.*) buffer size =\s*([0-9.]+) MiB")
WEIGHTS = "model"  # the last word of the name of a buffer with weights; every other is the context's
ADDED = (WEIGHTS, "KV", "RS")  # told once each: two of one name are two buffers, as with a sliding window
KEEP_LINES = 2_000
KEEP_LINE_BYTES = 4_000


class LogWriter:
    """In the model's process: llama.cpp's log callback, and the facts that llama.cpp tells nowhere else.

    `errors` are the last warnings and errors, oldest first; `overridden` the metadata keys whose override
    llama.cpp used; `buffers_mib` the memory that it took, by the buffer's name.
    """

    def __init__(self, library: Any, stderr_fd: int = 2) -> None:
        self.errors: deque[str] = deque(maxlen=40)
        self.overridden: set[str] = set()
        self.buffers_mib: dict[str, float] = {}
        self._fd = stderr_fd
        self._level = 0
        self._callback = library.llama_log_callback(self._on_line)  # must outlive every call
        library.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _on_line(self, level: int, text: bytes, _user_data: Any) -> None:
        self._level = self._level if level == LEVEL_CONT else level
        if self._level == LEVEL_DEBUG:
            return
        os.write(self._fd, text)
        line = text.decode("utf-8", "backslashreplace").strip()
        if self._level in (LEVEL_WARN, LEVEL_ERROR):
            self.errors.append(line)
        if found := OVERRIDDEN.search(line):
            self.overridden.add(found[1])
        if found := BUFFER.search(line):
            before = self.buffers_mib.get(found[1], 0.0) if found[1].split()[-1] in ADDED else 0.0
            self.buffers_mib[found[1]] = round(before + float(found[2]), 2)

    def forget_context(self) -> None:
        """The context's buffers are gone; those of the weights stay."""
        self.buffers_mib = {name: mib for name, mib in self.buffers_mib.items() if name.split()[-1] == WEIGHTS}

    def last_error(self) -> str:
        """The last warnings and errors in one line, empty where there were none."""
        return "; ".join(line for line in list(self.errors)[-3:] if line)


class LogKeeper:
    """In the kernel: the lines that a process wrote to stderr, the last `KEEP_LINES` of them."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEEP_LINES)
        self._lock = threading.Lock()

    def follow(self, stream: BinaryIO) -> threading.Thread:
        """Read the stream to its end on a daemon thread."""
        thread = threading.Thread(target=self._read, args=(stream,), name="workbench-log", daemon=True)
        thread.start()
        return thread

    def _read(self, stream: BinaryIO) -> None:
        with stream:
            while line := stream.readline(KEEP_LINE_BYTES):
                with self._lock:
                    self._lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))

    def lines(self) -> tuple[str, ...]:
        """The lines so far, oldest first."""
        with self._lock:
            return tuple(self._lines)
