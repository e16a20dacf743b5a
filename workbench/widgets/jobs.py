"""One thread does an explorer's work; the latest request wins, an older one is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workbench.progress import Cancel

Work = Callable[[Cancel], None]


class Worker:
    """Runs what was posted last. Callbacks of widgets only post: they may come on any thread, at any time."""

    def __init__(self, name: str, on_failure: Callable[[BaseException], None]) -> None:
        """`on_failure` gets what a work raised, on the worker's thread."""
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._next: tuple[Work, Cancel] | None = None
        self._running: Cancel | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def post(self, work: Work) -> Cancel:
        """Do `work` next; what runs is asked to stop, what waits is forgotten. Returns its switch."""
        cancel = Cancel()
        with self._changed:
            self._next = (work, cancel)
            self._stop_running()
            self._changed.notify_all()
        return cancel

    def cancel(self) -> None:
        """Ask what runs to stop and forget what waits."""
        with self._changed:
            self._next = None
            self._stop_running()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing runs or waits; whether that came within `timeout_s` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._next is None and self._running is None, timeout_s)

    @property
    def busy(self) -> bool:
        """Whether something runs or waits."""
        return not self.wait(0)

    def close(self, timeout_s: float = 5.0) -> None:
        """Cancel and end the thread; returns when it has ended or after `timeout_s` seconds."""
        with self._changed:
            self._closed, self._next = True, None
            self._stop_running()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _stop_running(self) -> None:
        if self._running is not None:
            self._running.set()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closed)
                if self._next is None:
                    return
                (work, cancel), self._next = self._next, None
                self._running = cancel
            try:
                work(cancel)
            except BaseException as failure:  # noqa: BLE001 (whatever it was, it is shown, and the next work runs)
                self._on_failure(failure)
            finally:
                with self._changed:
                    self._running = None
                    self._changed.notify_all()
