"""One call of the model's process as the kernel sees it: what is asked, who hears of it, when it must stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from workbench.errors import BadFile, BadRequest, Cancelled, CannotRun, WorkbenchError
from workbench.progress import Cancel, Progress
from workbench.runtime.answers import build_step
from workbench.runtime.limits import Limits
from workbench.runtime.protocol import Frame
from workbench.stages import Step

CANCEL_WAIT_S = 0.4  # how long a cancelled call waits for its last word
ERRORS: dict[str, type[WorkbenchError]] = {
    error.code: error for error in (WorkbenchError, BadFile, BadRequest, CannotRun, Cancelled)
}
NEED_WEIGHTS = ("load", "score", "generate", "resample", "lens", "stretch", "dry_run", "divergence")
PHASES = {
    "score": "scoring",
    "generate": "generating",
    "load": "loading the model",
    "stretch": "comparing",
    "dry_run": "estimating the memory",
    "divergence": "comparing",
}


class Call:
    """One call: what is asked, who wants to hear of it, when it must stop.

    `arguments` are plain, or made from what the build cannot do here: where they hold runtime settings too.
    """

    def __init__(
        self,
        operation: str,
        arguments: dict[str, Any] | Callable[[Limits], dict[str, Any]],
        progress: Progress | None,
        cancel: Cancel | None,
        deadline_s: float | None,
    ) -> None:
        self.operation, self.arguments = operation, arguments
        self.progress, self.cancel, self.deadline_s = progress, cancel, deadline_s
        self.on_step: Callable[[Step], None] | None = None
        self.steps: list[tuple[Step, bytes]] = []
        self.phase = PHASES.get(operation, operation)
        self.needs_weights = operation in NEED_WEIGHTS
        self.why_cancelled = ""
        self._started = time.monotonic()
        self._told = (0, 0)  # how far it was, and of how much

    def wants_stop(self) -> bool:
        """Whether somebody cancelled or the deadline has passed; `why_cancelled` says which."""
        if self.cancel is not None and self.cancel.is_set():
            self.why_cancelled = f"{self.phase} was cancelled"
        elif self.deadline_s is not None and time.monotonic() - self._started > self.deadline_s:
            self.why_cancelled = f"{self.phase} did not end within its deadline of {self.deadline_s:g} s"
        return bool(self.why_cancelled)

    def check(self) -> None:
        """Raise `Cancelled` where the call must stop."""
        if self.wants_stop():
            raise Cancelled(self.why_cancelled)

    def give_up(self, cancelled_at: float | None) -> None:
        """Raise `Cancelled` where the process has not answered a cancel for a while; it ends by itself later."""
        if cancelled_at is not None and time.monotonic() - cancelled_at > CANCEL_WAIT_S:
            raise Cancelled(self.why_cancelled)

    def restart(self, what: str) -> None:
        """Nothing of it counts: it begins once more in a fresh process, which `what` says to who watches."""
        self.steps.clear()
        self.phase = PHASES.get(self.operation, self.operation)
        if self.progress is not None:
            self.progress(what, 0, 1)

    def explain(self, why: str) -> None:
        """Tell who watches why it does not move; nothing for ""."""
        if why and self.progress is not None:
            self.progress(f"{self.phase}: {why}", *self._told)

    def take(self, frame: Frame) -> None:
        """Hand on a progress or step frame."""
        header = frame.header
        if header["kind"] == "progress":
            is_over = header["done"] == header["total"]  # once loaded, it is in what was asked for
            self.phase = PHASES.get(self.operation, self.operation) if is_over else header["what"]
            self._told = header["done"], header["total"]
            if self.progress is not None:
                self.progress(header["what"], *self._told)
        elif header["kind"] == "step":
            step, shown = build_step(header["step"])
            self.steps.append((step, shown))
            if self.on_step is not None:
                self.on_step(step)

    def last(self, frame: Frame) -> Frame:
        """The answer. Errors: the one that the process reported."""
        header = frame.header
        if header["kind"] == "done":
            return frame
        if header["kind"] == "fault":
            raise RuntimeError(f"a fault in the model's process: {header['message']}\n{header['traceback']}")
        error = header["error"]
        kind = ERRORS.get(error["code"], WorkbenchError)
        if kind is Cancelled and self.why_cancelled:
            raise Cancelled(self.why_cancelled, error["given"])
        raise kind(error["given"], error.get("accepted", ""), error.get("next_step", ""))


def is_last(frame: Frame, number: int) -> bool:
    """Whether the frame ends the call of this number."""
    return frame.header["id"] == number and frame.header["kind"] in ("done", "error", "fault")
