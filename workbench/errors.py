"""Errors a user can act on: what was given, what is accepted, what to do next."""

from __future__ import annotations

from typing import Any, NamedTuple


class WorkbenchError(Exception):
    """A mistake or a limit that the user can do something about.

    The message is one sentence that stands alone; `given`, `accepted` and `next_step` are the same
    facts apart, so that a screen can lay them out. Shown without a traceback everywhere.
    """

    code = "error"

    def __init__(self, given: str, accepted: str = "", next_step: str = "") -> None:
        self.given = given
        self.accepted = accepted
        self.next_step = next_step
        super().__init__("; ".join(part for part in (given, accepted, next_step) if part))

    def to_dict(self) -> dict[str, Any]:
        """`{code, message, given, accepted, next_step}`, all text."""
        return {
            "code": self.code,
            "message": one_line(str(self)),
            "given": self.given,
            "accepted": self.accepted,
            "next_step": self.next_step,
        }

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in place of a traceback: the sentence is all there is to say."""
        return [f"{type(self).__name__}: {self}"]


class BadFile(WorkbenchError):
    """A file that cannot be read as what it should be."""

    code = "bad-file"


class BadRequest(WorkbenchError):
    """A chat request or a setup that is not of the accepted shape."""

    code = "bad-request"


class CannotRun(WorkbenchError):
    """This model, build or machine cannot do what was asked; the reason is in the message."""

    code = "cannot-run"


class Cancelled(WorkbenchError):
    """The user (or a deadline) stopped the work; nothing that was done before is lost."""

    code = "cancelled"


class Refused(NamedTuple):
    """Of an instruction that a processor refused: which may be at fault, what was tried, what helps; each a clause."""

    suspects: str
    tried: str
    helps: str


class HostDied(WorkbenchError):
    """The process that held the model ended by itself.

    `signal` is its name ("SIGSEGV") or None, `exit_code` the code or None, `operation` what it was
    doing, `settings` the setup as JSON text, `log` the last lines that llama.cpp wrote; `refused` what
    is known of an instruction that the processor refused (SIGILL), None for every other end.
    """

    code = "host-died"

    def __init__(
        self,
        *,
        signal: str | None,
        exit_code: int | None,
        operation: str,
        settings: str,
        log: tuple[str, ...],
        refused: Refused | None = None,
    ) -> None:
        self.signal = signal
        self.exit_code = exit_code
        self.operation = operation
        self.settings = settings
        self.log = log
        self.refused = refused
        how = f"was ended by {signal}" if signal else f"exited with code {exit_code}"
        given = f"the model's process {how} while it was in: {operation}"
        if refused is not None:
            super().__init__(f"{given}; {refused.suspects}", refused.tried, refused.helps)
            return
        last = f"its last log line was: {log[-1].strip()}" if log else "it logged nothing"
        super().__init__(given, last, "the session goes on: the next call starts a fresh process")

    def to_dict(self) -> dict[str, Any]:
        """The common keys and `signal`, `exit_code`, `operation`, `settings`, `log`, `refused`."""
        return super().to_dict() | {
            "signal": self.signal,
            "exit_code": self.exit_code,
            "operation": self.operation,
            "settings": self.settings,
            "log": list(self.log),
            "refused": self.refused._asdict() if self.refused is not None else None,
        }


def one_line(text: str) -> str:
    """`text` on one line, control characters written as escapes, so that a terminal shows it as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
