"""The model's process: `python -m workbench.runtime.worker`, started and spoken to by `workbench.runtime.host`.

Frames come on stdin and go out on stdout; the log goes to stderr. One thread reads, so that a cancel
is heard in the middle of a computation; the main thread computes. When stdin ends, the kernel is gone
or closed the host, and the process ends at once whatever it is doing: the notebook's kernel may have
been killed with SIGKILL and nobody else would end it.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

from workbench.errors import WorkbenchError
from workbench.runtime.protocol import read_frame, write_frame
from workbench.runtime.waiting import ask_for_short_turns

REPORT_EVERY_S = 0.1
PARENT_CHECK_S = 1.0


class Worker:
    """Takes requests one after the other and answers each with exactly one frame of kind "done" or "error"."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._lock = threading.Lock()
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._cancelled: set[int] = set()
        self._running: int | None = None
        self._state = threading.Lock()
        self._session: Any = None
        self._last_report = 0.0

    def run(self) -> None:
        """Answer requests until stdin ends."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        threading.Thread(target=watch_parent, name="parent", daemon=True).start()
        while True:
            request = self._requests.get()
            self._answer(request)

    def _read(self) -> None:
        try:
            while True:
                header = read_frame(self._stdin).header
                if header["kind"] == "cancel":
                    self._cancel(header["id"])
                else:
                    self._requests.put(header)
        finally:
            os._exit(0)

    def _cancel(self, number: int) -> None:
        with self._state:
            self._cancelled.add(number)
            if self._running == number and self._session is not None:
                self._session.stop.set(True)

    def _answer(self, request: dict[str, Any]) -> None:
        number = request["id"]
        buffers: list[bytes] = []
        try:
            header, buffers = self._perform(request)
            header |= {"kind": "done"}
        except WorkbenchError as error:
            header = {"kind": "error", "error": error.to_dict()}
        except MemoryError:
            given = "the model's process ran out of memory"
            header = {"kind": "error", "error": {"code": "cannot-run", "given": given}}
        except Exception as error:  # noqa: BLE001  a fault of ours must reach the user, not end the process
            header = {"kind": "fault", "message": repr(error), "traceback": traceback.format_exc()}
        with self._state:
            self._running = None
            self._cancelled.discard(number)
        opened = self._session.opened() if self._session is not None else None
        self._send(header | {"id": number, "opened": opened}, buffers)

    def _perform(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        from workbench.runtime.operations import OPERATIONS, Request
        from workbench.runtime.session import Session

        if self._session is None:
            self._session = Session()
        number = request["id"]
        with self._state:
            self._running = number
            self._session.stop.set(number in self._cancelled)
        call = Request(
            path=request["path"],
            runtime=request["runtime"],
            overrides=request["overrides"],
            arguments=request["arguments"],
            need=request["need"],
            report=lambda what, done, total: self._report(number, what, done, total),
            stream=lambda step: self._send({"kind": "step", "id": number, "step": step}, []),
        )
        return OPERATIONS[request["operation"]](self._session, call).packed()

    def _report(self, number: int, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_report < REPORT_EVERY_S and done != total:
            return
        self._last_report = now
        self._send({"kind": "progress", "id": number, "what": what, "done": done, "total": total}, [])

    def _send(self, header: dict[str, Any], buffers: list[bytes]) -> None:
        try:
            write_frame(self._stdout, self._lock, header, buffers)
        except OSError:
            os._exit(0)


def watch_parent() -> None:
    """End with the parent even where a forked child of it still holds our stdin open."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(0)


def _no_core_dumps() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Take over stdin and stdout for frames, so that a stray print ends in the log, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the kernel, which then cancels
    _no_core_dumps()
    ask_for_short_turns()
    stdin = os.fdopen(os.dup(0), "rb")
    stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    Worker(stdin, stdout).run()


if __name__ == "__main__":
    main()
