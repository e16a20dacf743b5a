"""The model host: one process for one loaded setup, called like an object.

Why the standard library's `subprocess` and not pebble or loky: both are pools for Python functions.
pebble cancels by ending the worker, so a cancel would throw the loaded model away; loky's workers are
shared by whoever submits, hand over pickles, and a worker that dies breaks the pool and every pending
call ("BrokenProcessPool"), without a signal's name or its log. What is needed here is the opposite: one
process that keeps one model, a cancel that reaches into a running computation, frames with progress in
between, stderr kept, and an end that follows the kernel's. Over a pipe that is some two hundred lines.
multiprocessing adds pickling, a resource tracker and its own start methods (fork of a kernel with
threads; spawn runs the user's main module again) and would be used for a pipe only.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from workbench.errors import BadRequest, Cancelled, HostDied
from workbench.progress import Cancel, Progress
from workbench.runtime.answers import (
    build_entries,
    build_generation,
    build_pieces,
    build_scores,
    build_text,
    build_tokens,
)
from workbench.runtime.call import Call, is_last
from workbench.runtime.contention import Patience
from workbench.runtime.cost import Cost, cost_between, of_context
from workbench.runtime.entries import Entries
from workbench.runtime.instructions import ILLEGAL
from workbench.runtime.limits import Limits
from workbench.runtime.log import LogKeeper
from workbench.runtime.model_file import ModelFile, model_file
from workbench.runtime.placement import layout
from workbench.runtime.process import NOTHING, Process, own_pids
from workbench.runtime.protocol import Frame
from workbench.runtime.refusals import refuse
from workbench.runtime.retry import Retry
from workbench.setup import Setup
from workbench.stages import Generation, Scores, Step, Tokens

POLL_S = 0.02
ABANDONED_WAIT_S = 20.0  # how long the next call waits for a cancelled one that does not end


class Host:
    """llama.cpp in a process of its own. Nothing starts before the first call. Thread-safe: calls queue up.

    Every call takes `progress(what, done, total)`, a `cancel` switch and `deadline_s` seconds. Errors of
    every call: `Cancelled`, `HostDied` (the next call starts a fresh process), `BadFile`, `CannotRun`.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.evaluated = 0
        self._log = LogKeeper()
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._loaded: tuple[Any, ...] | None = None
        self._numbers = itertools.count(1)
        self._unfinished: int | None = None
        self._closed_by_user = False
        self._opened: dict[str, Any] | None = None  # see `Session.opened`
        self._retry = Retry()

    def use(self, setup: Setup) -> Cost:
        """Go on with another setup, from the next call on; what the change costs."""
        cost = cost_between(self.setup, setup)
        self.setup = setup
        return cost

    def cost_to(self, setup: Setup) -> Cost:
        """What it takes of the process, with what is open in it now, to compute with `setup`. Errors: `BadFile`."""
        opened = self._opened if self.pid is not None else None
        if opened is None or model_file(setup).identity != self._loaded:
            return "reload"
        return "nothing" if opened["context"] == of_context(setup.effective()["runtime"]) else "context"

    @property
    def held_mib(self) -> dict[str, float]:
        """What the process holds of the devices' memory, MiB by llama.cpp's name of the buffer."""
        opened = self._opened if self.pid is not None else None
        return dict(opened["held_mib"]) if opened is not None else {}

    @property
    def runtime(self) -> dict[str, Any]:
        """The setup's effective runtime section as it is really used on this machine."""
        return self._retry.held.runtime(self.setup)

    @property
    def limits(self) -> Limits:
        """What this build cannot do on this machine, as far as is known: the process holds to it."""
        return self._retry.held

    @property
    def notes(self) -> list[str]:
        """What is used otherwise than the setup or its defaults say, and why, a sentence each."""
        return self._retry.notes(self.setup)

    def tokenize(
        self,
        text: str,
        *,
        trusted: Sequence[tuple[int, int]] | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        deadline_s: float | None = None,
    ) -> Tokens:
        """The text's tokens with the setup's tokenizer flags; weights are not needed. Errors: also `BadRequest`.

        With `trusted`, sorted ranges of code points, special tokens are parsed there and nowhere else.
        """
        flags = self.setup.effective()["tokenizer"] | ({} if trusted is None else {"trusted": trusted})
        call = Call("tokenize", {"text": text, **flags}, progress, cancel, deadline_s)
        return build_tokens(self._run(call))

    def pieces(self, ids: Sequence[int] | np.ndarray[Any, Any]) -> dict[int, bytes]:
        """What each id stands for, as llama.cpp prints it. Errors: also `BadRequest` for an unknown id."""
        wanted = _plain_ids(ids)
        return build_pieces(wanted, self._run(Call("pieces", {"ids": wanted}, None, None, None)))

    def detokenize(self, ids: Sequence[int] | np.ndarray[Any, Any], *, specials: bool = True) -> bytes:
        """The text that llama.cpp makes of `ids`, with special tokens or without. Errors: also `BadRequest`."""
        arguments = {"ids": _plain_ids(ids), "specials": specials}
        return build_text(self._run(Call("text_of", arguments, None, None, None)))

    def entries(self, *, cancel: Cancel | None = None) -> Entries:
        """The whole vocabulary; weights are not needed."""
        return build_entries(self._run(Call("entries", {}, None, cancel, None)))

    def ends(self, *, cancel: Cancel | None = None) -> tuple[int, ...]:
        """The ids that end an answer; weights are not needed."""
        return tuple(self._run(Call("ends", {}, None, cancel, None)).header["values"]["ids"])

    def load(
        self, *, progress: Progress | None = None, cancel: Cancel | None = None, deadline_s: float | None = None
    ) -> dict[str, Any]:
        """Load weights and make the context, where they are not there yet; returns `info()`."""
        return self._told(self._run(Call("load", {}, progress, cancel, deadline_s)))

    def score(
        self,
        ids: Sequence[int] | np.ndarray[Any, Any],
        *,
        top_k: int = 20,
        logits_at: Sequence[int] = (),
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        deadline_s: float | None = None,
    ) -> Scores:
        """What the model gives every position of `ids` (n,); full logits for the positions in `logits_at`."""
        ids = _plain_ids(ids)
        positions = [int(i) for i in logits_at]
        if any(not 0 <= i < len(ids) for i in positions):
            raise BadRequest(f"logits_at is {positions[:8]}", f"accepted are positions from 0 to {len(ids) - 1}")
        if top_k < 1:
            raise BadRequest(f"top_k is {top_k}", "accepted is 1 or more")
        arguments = {"ids": ids, "top_k": int(top_k), "logits_at": positions}
        frame = self._run(Call("score", arguments, progress, cancel, deadline_s))
        self.evaluated = frame.header["values"]["evaluated"]
        return build_scores(frame)

    def generate(
        self,
        ids: Sequence[int] | np.ndarray[Any, Any],
        sampling: dict[str, Any],
        *,
        top_k: int = 20,
        answer: int | None = None,
        named: dict[str, str] | None = None,
        on_step: Callable[[Step], None] | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        deadline_s: float | None = None,
    ) -> Generation:
        """Sample an answer to `ids` (n,); `sampling` is `setup.sampling_for(conversation)`.

        From index `answer` on, `ids` are the answer's own beginning; None: all are the prompt's. `named` is what an
        error calls the settings: `setup.sampling_names(conversation)`.

        A cancel or a deadline gives the part that is there, with stop_reason "cancelled".
        """
        arguments: dict[str, Any] = {"ids": _plain_ids(ids), "sampling": sampling, "top_k": int(top_k)}
        arguments["named"] = named or {}
        arguments["answer"] = len(arguments["ids"]) if answer is None else answer
        call = Call("generate", arguments, progress, cancel, deadline_s)
        call.on_step = on_step
        try:
            frame = self._run(call)
        except Cancelled as stop:
            if call.phase == "loading the model":
                raise
            stopped = {"stop_reason": "cancelled", "stop_detail": stop.given}
        else:
            stopped = frame.header["values"]
            self.evaluated = stopped["evaluated"]
            if stopped["stop_reason"] == "cancelled":
                stopped["stop_detail"] = call.why_cancelled or stopped["stop_detail"]
        return build_generation(call.steps, stopped, sampling)

    def info(self) -> dict[str, Any]:
        """What llama.cpp really uses: context, batches, threads, cache types, devices, build; loads nothing."""
        return self._told(self._run(Call("info", {}, None, None, None)))

    def _told(self, frame: Frame) -> dict[str, Any]:
        """The facts of the process with what this host did of its own."""
        facts: dict[str, Any] = frame.header["values"]
        return facts | {"notes": [*facts.get("notes", ()), *self.notes], "pid": self.pid}

    def ask(
        self,
        operation: str,
        arguments: dict[str, Any] | Callable[[Limits], dict[str, Any]],
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        deadline_s: float | None = None,
    ) -> Frame:
        """One of `workbench.runtime.operations` by name, for the code that reads its answer; see `Call`."""
        return self._run(Call(operation, arguments, progress, cancel, deadline_s))

    @property
    def log(self) -> tuple[str, ...]:
        """llama.cpp's log lines so far, the last two thousand."""
        return self._log.lines()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process and self._process.alive else None

    def close(self) -> None:
        """End the process and give its memory back; a call that runs ends as cancelled. A later call starts anew."""
        process = self._process
        if process is not None:
            self._closed_by_user = True
            process.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Host({self.setup!r}, {f'process {self.pid}' if self.pid else 'no process'})"

    # One call

    def _run(self, call: Call) -> Frame:
        """Perform one call in the process; the frame that answers it."""
        while not self._lock.acquire(timeout=POLL_S):
            call.check()
        try:
            file = model_file(self.setup)
            try:
                return self._attempt(file, call)
            except HostDied as died:
                if died.signal != ILLEGAL:
                    raise
                return self._retry.once_more(
                    died,
                    call,
                    file.identity,
                    settings=lambda held: self._settings(file, call, held),
                    attempt=lambda: self._attempt(file, call),
                    end=self.close,
                )
        finally:
            self._lock.release()

    def _attempt(self, file: ModelFile, call: Call) -> Frame:
        """The call in a process that holds this file."""
        if call.needs_weights:
            file.require_weights()
            refuse(file.sized, self.runtime)
        path = file.path(weights=call.needs_weights, progress=call.progress, cancel=call.cancel)
        process = self._ready_process(file, call)
        call.check()  # a call that is cancelled before it begins does not begin: a short one would end first
        order = {
            "kind": "call",
            "id": next(self._numbers),
            "operation": call.operation,
            "path": path,
            "overrides": file.live,
            **self._settings(file, call, self._retry.held),
        }
        return self._exchange(process, order, call, file)

    def _settings(self, file: ModelFile, call: Call, held: Limits) -> dict[str, Any]:
        """The part of an order that depends on what the build cannot do here."""
        runtime = held.runtime(self.setup)
        need = layout(file.sized, runtime)._asdict()
        arguments = call.arguments(held) if callable(call.arguments) else call.arguments
        return {"runtime": runtime, "need": need, "arguments": arguments}

    def _exchange(self, process: Process, order: dict[str, Any], call: Call, file: ModelFile) -> Frame:
        """Send the order and wait for what answers it; a file that was written to meanwhile gives no answer."""
        number: int = order["id"]
        self._unfinished = number
        try:
            process.send(order)
            frame = self._wait(process, number, call)
        except HostDied:
            file.require_unchanged()
            raise
        except BaseException:  # an interrupt too
            if self._unfinished is not None and process.alive:
                process.send({"kind": "cancel", "id": number})
            raise
        file.require_unchanged()
        return frame

    def _ready_process(self, file: ModelFile, call: Call) -> Process:
        """A process that holds this file or nothing yet."""
        process = self._process
        if process is not None and (self._loaded != file.identity or not process.alive):
            process.end()
            process = None
        if process is not None and self._unfinished is not None:
            self._await_abandoned(process, call)
            process = self._process
        if process is None:
            self._closed_by_user = False
            self._retry.renew()
            process = self._process = Process(self._log)
            self._loaded, self._unfinished, self._opened = file.identity, None, None
        return process

    def _await_abandoned(self, process: Process, call: Call) -> None:
        """Wait for a cancelled call that has not ended; a process that never does is replaced."""
        until = time.monotonic() + ABANDONED_WAIT_S
        while self._unfinished is not None:
            call.check()
            frame = process.next_frame(POLL_S)
            if frame is None or time.monotonic() > until:
                process.end()
                self._process = None
                return
            if frame is not NOTHING and is_last(frame, self._unfinished):
                self._unfinished, self._opened = None, frame.header["opened"]

    def _wait(self, process: Process, number: int, call: Call) -> Frame:
        """Handle frames until the call's last one, a cancel or the process's end."""
        cancelled_at: float | None = None
        patience = Patience(self.runtime["n_threads"], own_pids)
        while True:
            if cancelled_at is None and call.wants_stop():
                process.send({"kind": "cancel", "id": number})
                cancelled_at = time.monotonic()
            frame = process.next_frame(POLL_S)
            if frame is None:
                self._raise_death(process, call)
            elif frame is NOTHING:
                call.give_up(cancelled_at)
                call.explain(patience.words())
            elif frame.header["id"] == number:
                if is_last(frame, number):
                    self._unfinished, self._opened = None, frame.header["opened"]
                    return call.last(frame)
                call.take(frame)
                patience.moved()

    def _raise_death(self, process: Process, call: Call) -> None:
        """Say how the process ended."""
        signal, code = process.autopsy()
        self._process, self._unfinished = None, None
        if self._closed_by_user:
            raise Cancelled("the host was closed while it worked")
        raise HostDied(
            signal=signal, exit_code=code, operation=call.phase, settings=self.setup.to_json(), log=self.log[-40:]
        )


def _plain_ids(ids: Sequence[int] | np.ndarray[Any, Any]) -> list[int]:
    return [int(i) for i in ids]
