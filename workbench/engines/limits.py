"""A child process kept warm that renders under a time and a memory limit; whatever a template does, it stays there."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from workbench.errors import Cancelled, CannotRun
from workbench.progress import Cancel

LIMIT_S = 2.0
LIMIT_MIB = 512
START_S = 30.0  # how long a child may take to start on a busy machine
_POLL_S = 0.02  # how often a waiting render looks at its cancel switch
_ROOT = str(Path(__file__).resolve().parents[2])
_COMMAND = "import sys; sys.path[:] = sys.argv[3:]; from workbench.engines.worker import main; main()"


class Reply(NamedTuple):
    """What came back: the text or None, the plain run's facts, the tracked run's; `cut` says why a run was stopped."""

    text: str | None
    plain: dict[str, Any]
    tracked: dict[str, Any]
    cut: str | None = None


class Stopped(Exception):
    """The child's answer did not come: `type` is TimeLimit, MemoryLimit or Crash."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Sandbox:
    """One child for all renders, one at a time; started at the first, started anew after it was stopped.

    Thread-safe. The child ends with this process: its input ends, and an alarm ends it in a render.
    """

    def __init__(self, *, limit_s: float = LIMIT_S, limit_mib: int = LIMIT_MIB) -> None:
        self.limit_s = limit_s
        self.limit_mib = limit_mib
        self._lock = threading.Lock()
        self._child: _Child | None = None
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.process.pid if self._child else None

    def render(self, options: dict[str, Any], body: bytes, *, cancel: Cancel | None = None) -> Reply:
        """Render `body` (a request as UTF-8 JSON) with the worker's `options`.

        Errors: `Cancelled`; `CannotRun` where no child can be started.
        """
        with self._lock:
            for attempt in (1, 2):
                child = self._ready(cancel)
                if child.send(json.dumps(options).encode(), body):
                    return self._receive(child, cancel)
                self._stop()  # it died while it waited; nothing of this request was done
                if attempt == 2:
                    break
        raise CannotRun("the rendering process ends as soon as it starts", "", "see whether jinja2 can be imported")

    def close(self) -> None:
        """End the child, if there is one; the next render starts another."""
        with self._lock:
            self._stop()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._child = None

    def _ready(self, cancel: Cancel | None) -> _Child:
        if self._child is not None and self._child.process.poll() is None:
            return self._child
        self._stop()
        self._child = _Child(self.limit_mib, self.limit_s)
        try:
            self._child.receive(time.monotonic() + START_S, cancel)
        except Stopped as stopped:
            said = self._child.last_words()
            self._stop()
            raise CannotRun(
                f"the rendering process does not start: {stopped}", said, "see whether jinja2 can be imported"
            ) from stopped
        return self._child

    def _receive(self, child: _Child, cancel: Cancel | None) -> Reply:
        deadline = time.monotonic() + self.limit_s
        try:
            plain = json.loads(child.receive(deadline, cancel))
            text = child.receive(deadline, cancel).decode("utf-8", "surrogatepass")
        except Stopped as stopped:
            self._stop()
            error = {"type": stopped.kind, "message": self._explained(stopped), "line": None, "column": None}
            return Reply(None, {"rewrites": [], "clock_used": False, "error": error}, {})
        except Cancelled:
            self._stop()
            raise
        if (plain.get("error") or {}).get("type") == "MemoryLimit":
            self._stop()
            plain["error"]["message"] = self._explained(Stopped("MemoryLimit", ""))
        return self._spans(child, deadline, cancel, Reply(text if plain.pop("has_text") else None, plain, {}))

    def _spans(self, child: _Child, deadline: float, cancel: Cancel | None, reply: Reply) -> Reply:
        if self._child is None:
            return reply
        try:
            tracked = json.loads(child.receive(deadline, cancel))
        except Stopped as stopped:
            self._stop()
            return reply._replace(cut=self._explained(stopped))
        except Cancelled:
            self._stop()
            raise
        return reply._replace(tracked=tracked)

    def _explained(self, stopped: Stopped) -> str:
        reasons = {
            "TimeLimit": f"stopped after {self.limit_s:g} s, the limit for one render",
            "MemoryLimit": f"stopped at {self.limit_mib} MiB, the memory limit for one render",
        }
        return reasons.get(stopped.kind, str(stopped))

    def _stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None


class _Child:
    """The process, and a thread that takes its frames from the pipe."""

    def __init__(self, limit_mib: int, limit_s: float) -> None:
        paths = [_ROOT, *(path for path in sys.path if path and path != _ROOT)]
        command = [sys.executable, "-S", "-E", "-c", _COMMAND, str(limit_mib), str(limit_s), *paths]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise CannotRun(f"no process for rendering can be started: {error}") from error
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._words = b""
        threading.Thread(target=self._read, name="render-reader", daemon=True).start()
        threading.Thread(target=self._listen, name="render-errors", daemon=True).start()

    def send(self, options: bytes, body: bytes) -> bool:
        """Send one request; whether the child took it."""
        sink = self.process.stdin
        if sink is None:
            return False
        try:
            for data in (options, body):
                sink.write(len(data).to_bytes(8, "big"))
                sink.write(data)
            sink.flush()
        except (OSError, ValueError):
            return False
        return True

    def receive(self, deadline: float, cancel: Cancel | None) -> bytes:
        """The next frame. Errors: `Stopped` at the deadline or where the child has ended, `Cancelled`."""
        while True:
            left = deadline - time.monotonic()
            try:
                frame = self._frames.get(timeout=max(min(left, _POLL_S) if cancel else left, 0.0))
            except queue.Empty:
                if cancel is not None and cancel.is_set():
                    raise Cancelled("the render was cancelled") from None
                if deadline - time.monotonic() <= 0:
                    raise Stopped("TimeLimit", "no answer in time") from None
                continue
            if frame is None:
                raise self._ended()
            return frame

    def _ended(self) -> Stopped:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return Stopped("Crash", "the rendering process closed its output")
        if code == -getattr(signal, "SIGALRM", 0):
            return Stopped("TimeLimit", "ended by its alarm")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if b"MemoryError" in self.last_words().encode():
            return Stopped("MemoryLimit", "out of memory")
        return Stopped("Crash", f"the template ended the rendering process ({how})")

    def last_words(self) -> str:
        """The last line that the child wrote to its standard error."""
        lines = self._words.decode("utf-8", "backslashreplace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """End the process at once and take its exit code."""
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(OSError, ValueError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)

    def _read(self) -> None:
        with self.process.stdout as stream:  # type: ignore[union-attr]
            while (frame := _read_frame(stream)) is not None:  # type: ignore[arg-type]
                self._frames.put(frame)
        self._frames.put(None)

    def _listen(self) -> None:
        with self.process.stderr as stream:  # type: ignore[union-attr]
            for line in stream:
                self._words = (self._words + line)[-4096:]


def _read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head, "big")
    data = stream.read(size)
    return data if len(data) == size else None
