"""One running model process, seen from the kernel: start, send, receive, end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any, BinaryIO

import workbench
from workbench.runtime import waiting
from workbench.runtime.log import LogKeeper
from workbench.runtime.protocol import Frame, read_frame, write_frame

END_WAIT_S = 2.0
NOTHING = Frame({}, [])
_RUNNING: weakref.WeakSet[Process] = weakref.WeakSet()


class Process:
    """A `workbench.runtime.worker` process. Frames that it sends wait in `inbox`; None there means it ended."""

    def __init__(self, log: LogKeeper) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.runtime.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self.inbox: queue.Queue[Frame | None] = queue.Queue()
        try:
            self._log_thread = log.follow(self._popen.stderr)  # type: ignore[arg-type]  # typed IO[bytes]
            frames = (self._popen.stdout, self.inbox)  # not `self`: what is only read from may be forgotten
            self._reader = threading.Thread(target=_read, args=frames, name="workbench-frames", daemon=True)
            self._reader.start()
            weakref.finalize(self, _end_forgotten, self._popen)
            _RUNNING.add(self)
        except BaseException:  # an interrupt: nobody would know of the process
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def send(self, header: dict[str, Any]) -> None:
        """Send a request; a process that is gone shows as None in `inbox`."""
        try:
            write_frame(self._popen.stdin, self._lock, header, [])  # type: ignore[arg-type]  # typed IO[bytes]
        except (OSError, ValueError):
            self.inbox.put(None)
        except BaseException:  # an interrupt: what follows half a frame is not understood
            self.kill()
            raise

    def next_frame(self, timeout_s: float) -> Frame | None:
        """The next frame, `NOTHING` when none came in time, None when the process ended."""
        try:
            return self.inbox.get(timeout=timeout_s)
        except queue.Empty:
            return NOTHING

    def end(self) -> None:
        """Close the pipe, which ends the process; kill it where that does not help."""
        with contextlib.suppress(OSError):  # it is gone already
            self._popen.stdin.close()  # type: ignore[union-attr]  # opened above
        self._reap()

    def kill(self) -> None:
        """End it now."""
        self._popen.kill()
        self._popen.wait()

    def autopsy(self) -> tuple[str | None, int | None]:
        """How it ended: (signal name, None) or (None, exit code). Waits for the end and for its last log lines."""
        code = self._reap()
        if code >= 0:
            return None, code
        return signal_name(-code), None

    def _reap(self) -> int:
        """Wait for the end, read what is left in the pipes, close them; the exit code, negative for a signal."""
        try:
            code = self._popen.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._popen.returncode
        self._log_thread.join(END_WAIT_S)
        with contextlib.suppress(OSError):
            self._popen.stdin.close()  # type: ignore[union-attr]  # opened above
        return code


def own_pids() -> list[int]:
    """The model processes of this program."""
    return [process.pid for process in list(_RUNNING)]


def _read(stream: BinaryIO, inbox: queue.Queue[Frame | None]) -> None:
    """Frames to the inbox until the process ends."""
    with stream:
        try:
            while True:
                inbox.put(read_frame(stream))
        except (EOFError, OSError, ValueError):
            inbox.put(None)


def _end_forgotten(popen: subprocess.Popen[bytes]) -> None:
    """End the process of a host that nobody has any more, as where a notebook's cell was run again."""
    popen.kill()
    popen.wait()


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def child_environment() -> dict[str, str]:
    """The kernel's environment, with the folder of this package where Python looks for it."""
    root = str(Path(workbench.__file__).parent.parent)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    # A failed assertion would otherwise call a debugger, whose pages push the assertion out of the log.
    own = {"PYTHONPATH": os.pathsep.join([*paths, root]), "PYTHONUTF8": "1", "GGML_NO_BACKTRACE": "1"}
    return {**os.environ, **waiting.defaults(os.environ), **own}
