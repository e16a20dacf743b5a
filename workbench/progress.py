"""How long work tells how far it is, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""`progress(operation, done, total)`; called at most some ten times a second, on the calling thread."""


class Cancel:
    """A switch that stops running work. Thread-safe; set once, it stays set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask the work to stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds for the switch; whether it is set."""
        return self._event.wait(timeout_s)
