"""Where a processor refuses an instruction: one more attempt without extra buffers; that it helped is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from workbench import cpu
from workbench.errors import HostDied
from workbench.runtime import limits
from workbench.runtime.call import Call
from workbench.runtime.instructions import ILLEGAL, build, refused, suspects
from workbench.runtime.limits import Limits
from workbench.runtime.protocol import Frame
from workbench.setup import Setup

ONCE_MORE = "once more without extra buffers, for the processor refused an instruction (SIGILL)"
NOT_KEPT = "this could not be written to the cache and is found anew each time"
REBUILD = (
    "build llama.cpp again without what fails: in a checkout `make setup` does so by itself; elsewhere install "
    "llama-cpp-python again, built with CMAKE_ARGS=-DGGML_NATIVE=OFF"
)


class Dead(NamedTuple):
    """Why there is no more attempt: what was tried, and what helps."""

    tried: str
    helps: str


NO_WEIGHTS = Dead("nothing else was tried: no weights were used, so extra buffers make no difference", REBUILD)
OFF = Dead("extra buffers (runtime.use_extra_bufts) were off already", REBUILD)
WANTED = Dead(
    "it was not tried without extra buffers, for the setup's runtime.use_extra_bufts is true",
    "leave runtime.use_extra_bufts out, or set it to false",
)
USELESS = Dead(
    "it was tried without extra buffers (runtime.use_extra_bufts false) too, and ended in the same way", REBUILD
)


class Retry:
    """What one host knows of the limits: `held` are those that its process, or the next one, holds to."""

    def __init__(self) -> None:
        self.held = limits.known()
        self._found: Limits | None = None  # by this host itself
        self._useless: tuple[Any, ...] | None = None  # the model and settings where going without did not help

    def renew(self) -> None:
        """A process starts: what others have found meanwhile counts too."""
        self.held = self._found or limits.known()

    def notes(self, setup: Setup) -> list[str]:
        """What is used otherwise than the setup or its defaults say, and why, a sentence each."""
        return self.held.notes(setup)

    def once_more(
        self,
        died: HostDied,
        call: Call,
        identity: tuple[Any, ...],
        *,
        settings: Callable[[Limits], dict[str, Any]],
        attempt: Callable[[], Frame],
        end: Callable[[], None],
    ) -> Frame:
        """The call without extra buffers, where that makes a difference; that it helped is remembered.

        `settings` are those of the call under some limits, `attempt` makes it under `held`, `end` ends the process.
        Errors: those of a call; `HostDied` says what is known of the instruction.
        """
        extra_bufts = call.needs_weights and bool(settings(self.held)["runtime"]["use_extra_bufts"])
        without = replace(self.held, no_extra_bufts=True, reason=_reason(died))
        before = self.held
        if (dead := self._dead(call, identity, settings(before) != settings(without), extra_bufts)) is not None:
            raise _explained(died, dead, extra_bufts) from died
        call.restart(ONCE_MORE)
        self._found = self.held = without
        try:
            frame = attempt()
        except BaseException as error:  # an interrupt too: nothing is known yet
            self._found, self.held = None, before
            end()
            if isinstance(error, HostDied) and error.signal == ILLEGAL:
                self._useless = identity
                raise _explained(error, USELESS, extra_bufts=False) from error
            raise
        if not limits.remember(without):
            self._found = self.held = replace(without, reason=f"{without.reason}; {NOT_KEPT}")
        return frame

    def _dead(self, call: Call, identity: tuple[Any, ...], differs: bool, extra_bufts: bool) -> Dead | None:
        """Why another attempt would be the same one; None where it is another."""
        if not call.needs_weights:
            return NO_WEIGHTS
        if self._useless == identity:
            return USELESS
        if differs:
            return None
        return WANTED if extra_bufts else OFF


def _reason(died: HostDied) -> str:
    """Why extra buffers are off from now on, where the attempt without them helps."""
    why = suspects(build(), cpu.machine(), extra_bufts=True)
    return (
        f"with them the model's process was ended by {ILLEGAL} while it was in: {died.operation}, and without them it "
        f"went on; {why}"
    )


def _explained(died: HostDied, dead: Dead, extra_bufts: bool) -> HostDied:
    return HostDied(
        signal=died.signal,
        exit_code=died.exit_code,
        operation=died.operation,
        settings=died.settings,
        log=died.log,
        refused=refused(dead.tried, dead.helps, extra_bufts=extra_bufts),
    )
