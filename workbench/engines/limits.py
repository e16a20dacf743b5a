"""A child process kept warm that renders under a time and a memory limit; whatever a template does, it stays there.

Time is the processor's: a healthy render is not called too slow because other programs have the machine.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import Cancelled, CannotRun
from workbench.nesting import read_json
from workbench.progress import Cancel

from .frames import read_frame, write_frame
from .serving import patience_s

LIMIT_S = 2.0  # of the processor
LIMIT_MIB = 512
START_S = 30.0  # how long a child may take to start on a busy machine
_POLL_S = 0.02  # how often a waiting render looks at its cancel switch
_FINISH_S = 0.5  # how long a cancelled render may go on; most end sooner than another child starts
_EXACT = 2  # the clock of a process that counts what it really had, not by ticks
_FRAMES = 4  # of an answer: that it has begun, the facts, the text, spans and events
_ROOT = str(Path(__file__).resolve().parents[2])
_COMMAND = "import sys, importlib; sys.path[:] = sys.argv[4:]; importlib.import_module(sys.argv[1]).main()"
JINJA2 = "workbench.engines.worker"
OnText = Callable[[str], None]


class Reply(NamedTuple):
    """What came back: the text or None, the plain run's facts, the tracked run's; `cut` says why a run was stopped."""

    text: str | None
    plain: dict[str, Any]
    tracked: dict[str, Any]
    cut: str | None = None


class Deadline(NamedTuple):
    """Until when to wait: a time of `time.monotonic`, and the seconds that the process may have had the processor."""

    at: float
    worked_s: float = math.inf


class Stopped(Exception):
    """The child's answer did not come: `kind` is TimeLimit, Hangs, MemoryLimit or Crash."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _NeverBegan(Exception):
    """The child had ended before it read the request."""


class Sandbox:
    """One child for all renders, one at a time; started at the first, started anew after it was stopped.

    Thread-safe, and safe to interrupt: a child whose answer was not taken to its end is never used again.
    The child ends with this process: its input ends, its parent changes, and an alarm ends it in a render.
    """

    def __init__(self, worker: str = JINJA2, *, limit_s: float = LIMIT_S, limit_mib: int = LIMIT_MIB) -> None:
        self.worker = worker  # the module whose `main` runs in the child
        self.limit_s = limit_s
        self.limit_mib = limit_mib
        self._lock = threading.RLock()  # an RLock knows its owner: an interrupt can never leave it held
        self._numbers = itertools.count(1)
        self._child: _Child | None = None
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.process.pid if self._child else None

    def render(
        self, options: dict[str, Any], body: bytes, *, on_text: OnText | None = None, cancel: Cancel | None = None
    ) -> Reply:
        """Render `body` (a request as UTF-8 JSON) with the worker's `options`; `on_text` gets the text before all else.

        Errors: `Cancelled`; `CannotRun` where no child can be started.
        """
        data = json.dumps(options).encode()
        with self._turn(cancel):
            for _ in range(2):
                try:
                    return self._asked(data, body, on_text, cancel)
                except _NeverBegan:  # it was killed while it waited; nothing of this request was done
                    continue
        raise CannotRun("the rendering process ends as soon as it starts", "", self._advice())

    @contextlib.contextmanager
    def _turn(self, cancel: Cancel | None) -> Iterator[None]:
        """Wait until no other thread renders. Errors: `Cancelled`."""
        try:
            while not self._lock.acquire(timeout=_POLL_S if cancel else -1):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("the render was cancelled")
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # not ours: the wait was cancelled or interrupted
                self._lock.release()

    def _asked(self, options: bytes, body: bytes, on_text: OnText | None, cancel: Cancel | None) -> Reply:
        child = self._ready(cancel)
        try:
            child.send(next(self._numbers), options, body)
            reply = self._receive(child, on_text, cancel)
        except Cancelled:  # often by a newer request, which comes at once
            child.left_at = time.monotonic()
            raise
        except BaseException:  # an interrupt too: what the child still sends is nobody's
            self._stop()
            raise
        child.idle = self._child is child
        return reply

    def close(self) -> None:
        """End the child, if there is one; the next render starts another."""
        with self._lock:
            self._stop()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._child = None

    def _ready(self, cancel: Cancel | None) -> _Child:
        child = self._child
        if child is not None and child.process.poll() is None and (child.idle or child.finished(cancel)):
            return child
        self._stop()
        self._child = child = _Child(self.worker)
        try:
            child.start(self.limit_mib, self.limit_s)
            child.receive(Deadline(time.monotonic() + START_S), cancel)
        except Stopped as stopped:
            said = "" if stopped.kind == "Crash" else child.last_words()
            self._stop()
            raise CannotRun(f"the rendering process does not start: {stopped}", said, self._advice()) from stopped
        except BaseException:
            self._stop()
            raise
        return child

    def _receive(self, child: _Child, on_text: OnText | None, cancel: Cancel | None) -> Reply:
        deadline = Deadline(time.monotonic() + patience_s(self.limit_s), child.worked_s() + self.limit_s)
        began = False
        try:
            began = child.receive(deadline, cancel) == b""
            plain = read_json(child.receive(deadline, cancel))
            text = child.receive(deadline, cancel).decode("utf-8", "surrogatepass")
        except Stopped as stopped:
            self._stop()
            if not began and stopped.kind == "Crash":
                raise _NeverBegan from stopped
            kind = "TimeLimit" if stopped.kind == "Hangs" else stopped.kind
            error = {"type": kind, "message": self._explained(stopped), "line": None, "column": None}
            return Reply(None, {"rewrites": [], "clock_used": False, "error": error}, {})
        if (plain.get("error") or {}).get("type") == "MemoryLimit":
            self._stop()
            plain["error"]["message"] = self._explained(Stopped("MemoryLimit", ""))
        reply = Reply(text if plain.pop("has_text") else None, plain, {})
        if on_text is not None and reply.text is not None:
            on_text(reply.text)
        return self._spans(child, deadline, cancel, reply)

    def _spans(self, child: _Child, deadline: Deadline, cancel: Cancel | None, reply: Reply) -> Reply:
        if self._child is None:
            return reply
        try:
            tracked = read_json(child.receive(deadline, cancel))
        except Stopped as stopped:
            self._stop()
            return reply._replace(cut=self._explained(stopped))
        return reply._replace(tracked=tracked)

    def _advice(self) -> str:
        return f"see whether {sys.executable} -c 'import {self.worker}' works"

    def _explained(self, stopped: Stopped) -> str:
        reasons = {
            "TimeLimit": f"stopped after {self.limit_s:g} s, the limit for one render",
            "Hangs": f"stopped as it did not end within {patience_s(self.limit_s):g} s, whatever it waited for",
            "MemoryLimit": f"stopped at {self.limit_mib} MiB, the memory limit for one render",
        }
        return reasons.get(stopped.kind, str(stopped))

    def _stop(self) -> None:
        if self._child is not None:
            self._child.idle = False
            self._child.stop()
            self._child = None


class _Child:
    """The process, and a thread that takes its frames from the pipe; `idle` while no request is in it.

    `left_at` is when a request was cancelled that is still in it.
    """

    process: subprocess.Popen[bytes]

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.idle = False
        self.left_at: float | None = None
        self._number = self._taken = 0
        self._frames: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._words = b""
        self._listener: threading.Thread | None = None

    def start(self, limit_mib: int, limit_s: float) -> None:
        """Start the process. Errors: `CannotRun`."""
        paths = [_ROOT, *(path for path in sys.path if path and path != _ROOT)]
        command = [sys.executable, "-S", "-E", "-c", _COMMAND, self.worker, str(limit_mib), str(limit_s), *paths]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise CannotRun(f"no process for rendering can be started: {error}") from error
        threading.Thread(target=self._read, name="render-reader", daemon=True).start()
        self._listener = threading.Thread(target=self._listen, name="render-errors", daemon=True)
        self._listener.start()

    def send(self, number: int, options: bytes, body: bytes) -> None:
        """Send one request; its `number` comes back with every frame of its answer. Errors: `_NeverBegan`."""
        self.idle, self.left_at, self._words = False, None, b""
        self._number, self._taken = number, 0
        sink = self.process.stdin
        try:
            for data in (options, body):
                write_frame(sink, number, data)  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            raise _NeverBegan from error

    def receive(self, deadline: Deadline, cancel: Cancel | None) -> bytes:
        """The next frame of the request's answer.

        Errors: `Stopped` at the deadline or where the child has ended, `Cancelled`.
        """
        while True:
            left, work = deadline.at - time.monotonic(), deadline.worked_s - self.worked_s()
            wait = min(left, _POLL_S) if cancel else min(left, max(work, _POLL_S))
            try:
                frame = self._frames.get(timeout=max(wait, 0.0))
            except queue.Empty:
                if cancel is not None and cancel.is_set():
                    raise Cancelled("the render was cancelled") from None
                if deadline.worked_s <= self.worked_s():
                    raise Stopped("TimeLimit", "its processor time is used up") from None
                if deadline.at <= time.monotonic():
                    raise Stopped("Hangs", "no answer in time") from None
                continue
            if frame is None:
                raise self._ended()
            if frame[0] == self._number:
                self._taken += 1
                return frame[1]

    def worked_s(self) -> float:
        """How long the process has had the processor, 0 where this system does not tell: there its own timer ends it.

        The clock of another process: https://github.com/torvalds/linux/blob/v6.12/include/linux/posix-timers.h
        """
        if sys.platform != "linux":
            return 0.0
        try:
            return time.clock_gettime(~self.process.pid << 3 | _EXACT)
        except OSError:  # it has ended
            return 0.0

    def finished(self, cancel: Cancel | None) -> bool:
        """Whether the request that was cancelled came to its end, waiting a moment for it. Errors: `Cancelled`."""
        if self.left_at is None:
            return False
        try:
            while self._taken < _FRAMES:
                if b'"MemoryLimit"' in self.receive(Deadline(self.left_at + _FINISH_S), cancel):
                    return False
        except Stopped:
            return False
        return True

    def _ended(self) -> Stopped:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return Stopped("Crash", "the rendering process closed its output")
        if code == -getattr(signal, "SIGPROF", 0):
            return Stopped("TimeLimit", "ended when its processor time was used up")
        if code == -getattr(signal, "SIGALRM", 0):
            return Stopped("Hangs", "ended by its alarm")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if b"MemoryError" in self.last_words().encode():
            return Stopped("MemoryLimit", "out of memory")
        said = self.last_words()
        return Stopped("Crash", f"the rendering process ended ({how})" + (f": {said}" if said else ""))

    def last_words(self) -> str:
        """The last line that the child, which has ended or is asked nothing more, wrote to its standard error."""
        if self._listener is not None and self.process.poll() is not None:
            self._listener.join(1)
        lines = self._words.decode("utf-8", "backslashreplace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """End the process at once and take its exit code."""
        if not hasattr(self, "process"):
            return  # interrupted before it was started
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(OSError, ValueError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)

    def _read(self) -> None:
        with self.process.stdout as stream:  # type: ignore[union-attr]
            while (frame := read_frame(stream)) is not None:  # type: ignore[arg-type]
                self._frames.put(frame)
        self._frames.put(None)

    def _listen(self) -> None:
        with self.process.stderr as stream:  # type: ignore[union-attr]
            for line in stream:
                self._words = (self._words + line)[-4096:]
