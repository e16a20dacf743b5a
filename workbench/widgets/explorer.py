"""The trace explorer: every stage of one request, linked, recomputed from what changed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from workbench.compare.reach import reach
from workbench.conversation import Conversation
from workbench.errors import BadFile, WorkbenchError
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.stages import Generation, Rendered, Scores
from workbench.trace import STAGES, Trace, trace
from workbench.views import candidates, figures
from workbench.views.candidates import Candidates
from workbench.views.reach import missing_words
from workbench.views.rendered import error_words
from workbench.widgets import sources as listed
from workbench.widgets.choices import Choices
from workbench.widgets.copy import static_copy
from workbench.widgets.facts import controls, elapsed, trouble_of
from workbench.widgets.jobs import Worker
from workbench.widgets.outputs import CellOutputs
from workbench.widgets.panes import StagePanes
from workbench.widgets.payload import clean, of_stage
from workbench.widgets.sources import Sources

PROGRESS_EVERY_S = 0.1


class TraceExplorer:
    """The live view of one request through one stack. Display it, or `await` it until it has settled.

    `trace` is what it shows, a value like any other; `choices` what the controls hold. The model runs in
    a process of its own, which ends with `close()` or with the kernel.
    """

    def __init__(self, choices: Choices, sources: Sources) -> None:
        self.choices, self.sources = choices, sources
        self.trace: Trace | None = None
        self._previous: Trace | None = None  # the last one that got as far as tokens: what can be reused
        self.candidates: Candidates | None = None
        self.trouble = ""
        self.stages: dict[str, Any] = {}  # what the page shows now, by stage; never of two requests at once
        self._errors: dict[str, str] = {}
        self._held: Any = None  # a rendered prompt that waits for its tokens
        self._selected: tuple[str, int] | None = None
        self._stamp, self._theme, self._last_progress = 0, "light", 0.0
        self._lock = threading.RLock()  # callbacks come on any thread, beside the worker's
        self._host: Host | None = None
        self._known: dict[int, bytes] = {}  # pieces by token id, of the model that is loaded
        self._known_of: tuple[Any, ...] = ()
        self.panes, self.chart = StagePanes(), ipywidgets.Output()
        self.view = ipywidgets.VBox([self.panes, self.chart])
        self._outputs = CellOutputs(self.html)
        self.panes.on_msg(self._received)
        self._worker = Worker("workbench-explorer", self._failed)
        self.run()

    # -- what a script can do ------------------------------------------------------------------------

    def change(self, **changes: Any) -> TraceExplorer:
        """Change choices by name, as the controls do, and recompute what they touch. Errors: `BadRequest`."""
        with self._lock:
            self.choices = self.sources.applied(self.choices, changes)
        self.run()
        return self

    def select(self, *, token: int | None = None, step: int | None = None) -> Candidates | None:
        """The candidates of a prompt token or of an answer token, shown in the chart; None where there are none."""
        with self._lock:
            chosen = ("step", step) if step is not None else ("token", token)
            self._selected = None if chosen[1] is None else (chosen[0], int(chosen[1]))
            self._draw_chart()
            self._outputs.refresh_soon()
            return self.candidates

    def run(self) -> None:
        """Compute what the choices ask for; a run that is under way is cancelled."""
        with self._lock:
            self._stamp += 1
            stamp, choices = self._stamp, self.choices
        self._worker.post(lambda cancel: self._compute(stamp, choices, cancel))

    def cancel(self) -> None:
        """Stop what runs; what was had stays on screen."""
        self._worker.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until nothing runs; False where `timeout_s` seconds were not enough. In a notebook `await` it."""
        return self._worker.wait(timeout_s)

    async def settled(self) -> Trace | None:
        """Wait without blocking the kernel, so that Cancel stays alive; gives `trace` and renews the static copy."""
        await asyncio.to_thread(self._worker.wait)
        self._outputs.refresh()
        return self.trace

    def __await__(self) -> Generator[Any, None, Trace | None]:
        return self.settled().__await__()

    def freeze(self) -> None:
        """Replace the live view by static HTML of what it shows, and end the model's process."""
        self._outputs.freeze()
        self.close()

    def close(self) -> None:
        """End the work, the model's process and the live view."""
        self._worker.close()
        self._outputs.stop()
        if self._host is not None:
            self._host.close()
        for widget in (self.view, self.chart, self.panes):
            widget.close()

    def html(self) -> str:
        """What it shows as static HTML."""
        with self._lock:
            return static_copy(self.trace, self.candidates, self._pieces(), self.trouble)

    def __repr__(self) -> str:
        state = "working" if self._worker.busy else "settled"
        return f"TraceExplorer({state}): {self.trace!r}"

    def _ipython_display_(self) -> None:
        self._outputs.display(self.view, repr(self.panes))

    # -- on the worker's thread ----------------------------------------------------------------------

    def _compute(self, stamp: int, choices: Choices, cancel: Cancel) -> None:
        conversation, setup, errors = choices.read()
        if conversation is not None:
            self._show_stage(stamp, "messages", conversation)
        if conversation is None or setup is None:
            self._tell_controls(choices, errors)
            return
        self._held = None
        self.panes.tell("begin", stamp=stamp)
        result, trouble = self._traced(stamp, choices, conversation, setup, cancel)
        if stamp != self._stamp:
            return  # a later request is on its way: its result is the one to show
        self._finish(stamp, choices, result, trouble)

    def _traced(
        self, stamp: int, choices: Choices, conversation: Conversation, setup: Setup, cancel: Cancel
    ) -> tuple[Trace | None, str]:
        self._host = self._host or Host(setup)
        try:
            result = trace(
                conversation,
                setup,
                until=choices.until,
                host=self._host,
                previous=self._previous,
                on_stage=lambda name, value: self._reached(stamp, setup, name, value),
                progress=lambda operation, done, total: self._progress(stamp, operation, done, total),
                cancel=cancel,
            )
        except WorkbenchError as error:
            place = "model" if isinstance(error, BadFile) and str(setup.model) in str(error) else "template"
            self._errors = {place: str(error)}
            return None, str(error)
        self._errors = {"template": error_words(result.rendered)} if result.rendered and result.rendered.error else {}
        return result, trouble_of(result)

    def _finish(self, stamp: int, choices: Choices, result: Trace | None, trouble: str) -> None:
        self._show_held(stamp)
        with self._lock:
            for name in STAGES:
                if result is not None and getattr(result, name) is None:
                    self._show_stage(stamp, name, None)
            if result is not None:
                self.trace = result
                self._previous = result if result.tokens is not None else self._previous
            self.trouble = trouble
        self._tell_controls(choices, self._errors)
        self.panes.tell("end", stamp=stamp, elapsed=elapsed(result), trouble=trouble)
        self._draw_chart()
        self._outputs.refresh_soon()

    def _reached(self, stamp: int, setup: Setup, name: str, value: Any) -> None:
        if isinstance(value, Scores | Generation):
            self._learn_pieces(setup, value)
        if name == "rendered" and self._previous is not None:
            self._held = value  # its tokens follow at once: the page draws both together, not twice
            return
        self._show_held(stamp)
        self._show_stage(stamp, name, value)
        if name == "tokens" and stamp == self._stamp:
            self._tell_controls(self.choices, {})  # behind what the user waits for; a text that has tokens has no error
        if name == "scores":
            self._draw_chart()

    def _show_held(self, stamp: int) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._show_stage(stamp, "rendered", held)

    def _show_stage(self, stamp: int, name: str, value: Any) -> None:
        with self._lock:
            if stamp != self._stamp:
                return
            shown = self.stages.get(name)
            if value is not None and (shown is value or (name == "messages" and shown == value)):
                self.panes.tell("keep", stamp=stamp, name=name)
                return
            self.stages[name] = value
            if name == "tokens":
                self.stages |= dict.fromkeys(("scores", "generation", "parsed"))
            if value is None:
                self.panes.tell("stage", stamp=stamp, name=name, empty=True)
                return
        sent = of_stage(name, value)
        if name == "rendered":
            sent.facts["notes"] += self._missing(value)
        self.panes.tell("stage", sent.buffers, stamp=stamp, name=name, facts=sent.facts, arrays=sent.arrays)

    def _missing(self, value: Rendered) -> list[str]:
        """What of the request that is shown is not in the prompt, in words."""
        conversation = self.stages.get("messages")
        goes = reach(conversation, value) if conversation is not None else None
        return [clean(f"not in the prompt: {words}") for words in missing_words(goes)] if goes is not None else []

    def _progress(self, stamp: int, operation: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_EVERY_S:
            self._last_progress = now
            self.panes.tell("progress", stamp=stamp, operation=operation, done=done, total=total)

    def _failed(self, failure: BaseException) -> None:
        self._say(f"{type(failure).__name__}: {failure}")
        self.panes.tell("end", stamp=self._stamp, elapsed=elapsed(self.trace), trouble=self.trouble)

    # -- messages of the page, on any thread ---------------------------------------------------------

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        handlers: dict[str, Callable[[], Any]] = {
            "hello": self._greet,
            "change": lambda: self.change(**message["changes"]),
            "select": lambda: self.select(token=message["token"], step=message["step"]),
            "cancel": self.cancel,
            "freeze": self.freeze,
            "log": self._tell_log,
            "theme": lambda: self._use_theme(message["theme"]),
        }
        try:
            handlers[message["type"]]()
        except Exception as failure:  # noqa: BLE001 (a callback's error must be seen, not lost in a log)
            self._failed(failure)

    def _greet(self) -> None:
        """A view opened: send it everything that is shown."""
        self._tell_controls(self.choices, self._errors)
        with self._lock:
            shown, self.stages = self.stages, {}
            for name, value in shown.items():
                self._show_stage(self._stamp, name, value)
            if not self._worker.busy:
                self.panes.tell("end", stamp=self._stamp, elapsed=elapsed(self.trace), trouble=self.trouble)

    def _use_theme(self, theme: str) -> None:
        self._theme = "dark" if theme == "dark" else "light"
        self._draw_chart()

    def _tell_log(self) -> None:
        self.panes.tell("log", lines=list(self._host.log if self._host else ()))

    def _tell_controls(self, choices: Choices, errors: dict[str, str]) -> None:
        self.panes.tell("controls", **controls(choices, self.sources, errors))

    def _say(self, text: str) -> None:
        self.trouble = text
        self.panes.tell("trouble", text=text)

    # -- chart and copy ------------------------------------------------------------------------------

    def _draw_chart(self) -> None:
        with self._lock:
            self.candidates = self._candidates()
            if self.candidates is None:
                self.chart.outputs = ()
                return
            bundle = figures.candidates(self.candidates, theme=self._theme)
            self.chart.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)

    def _candidates(self) -> Candidates | None:
        if self._selected is None:
            return None
        kind, at = self._selected
        if kind == "step":
            answer = self.stages.get("generation")
            return candidates.of_step(answer, at, self._pieces()) if answer else None
        scored, tokens = self.stages.get("scores"), self.stages.get("tokens")
        return candidates.of_position(scored, tokens, at, self._pieces()) if scored and tokens else None

    def _pieces(self) -> dict[int, bytes]:
        return self._known

    def _learn_pieces(self, setup: Setup, value: Scores | Generation) -> None:
        """Ask the host for the candidates' pieces while it has nothing else to do."""
        if self._known_of != (setup.model, setup.metadata):
            self._known, self._known_of = {}, (setup.model, setup.metadata)
        tops = [value.top_ids] if isinstance(value, Scores) else [np.array(s.top_ids, np.int32) for s in value.steps]
        wanted = np.unique(np.concatenate([top.ravel() for top in tops])) if tops else ()
        missing = [int(i) for i in wanted if int(i) not in self._known]
        if missing and self._host is not None:
            self._known = self._known | self._host.pieces(missing)


def explore(
    model: str | Path | None = None,
    request: Conversation | dict[str, Any] | list[Any] | str | Path | None = None,
    setup: Setup | None = None,
) -> TraceExplorer:
    """The trace explorer on a model (the demo model where none is given) and a request (a sample where none is given).

    Errors: `BadFile` where no model is given and the demo model is not there; `BadRequest` for a bad request.
    """
    return TraceExplorer(*listed.start(model, request, setup))
