"""The trace explorer: every stage of one request, linked, recomputed from what changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from workbench.conversation import Conversation
from workbench.engines import resolve_template
from workbench.errors import BadFile, Cancelled, WorkbenchError
from workbench.gguf.header import read_header
from workbench.measured import measured
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.stages import Generation, Rendered, Scores
from workbench.trace import STAGES, Trace, trace
from workbench.values import Value
from workbench.views import candidates, figures, html_of
from workbench.views.candidates import Candidates
from workbench.views.fields import words as field_words
from workbench.views.html import wrong
from workbench.views.reach import missing_words
from workbench.views.rendered import error_words
from workbench.widgets import sources as listed
from workbench.widgets.below import BELOW, FOLLOWS_SELECTION, Asked
from workbench.widgets.choices import Choices
from workbench.widgets.copy import static_copy
from workbench.widgets.facts import Place, controls, elapsed, trouble_of
from workbench.widgets.jobs import Worker
from workbench.widgets.live import Live
from workbench.widgets.outputs import CellOutputs, close_widgets
from workbench.widgets.panes import StagePanes
from workbench.widgets.payload import clean, of_stage
from workbench.widgets.sources import Sources

PROGRESS_EVERY_S = 0.1
MOST_CHOICES = 8  # candidates that are offered to go on with


class TraceExplorer(Live[Trace | None]):
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
        self._heard: dict[str, int] = {}  # the number of each page's last edit that came here
        self.stages: dict[str, Any] = {}  # what the page shows now, by stage; never of two requests at once
        self._errors: dict[str, str] = {}
        self._place: Place | None = None  # of the template's error
        self._held: Any = None  # a rendered prompt that waits for its tokens
        self._selected: tuple[str, int] | None = None
        self._stamp, self._theme, self._last_progress = 0, "light", 0.0
        self._tracing = False  # whether a trace is on its way; what is drawn below does not count
        self._lock = threading.RLock()  # callbacks come on any thread, beside the worker's
        self._host: Host | None = None
        self._known: dict[int, bytes] = {}  # pieces by token id, of the model that is loaded
        self._known_of: tuple[Any, ...] = ()
        self.panes, self.chart, self.below = StagePanes(), ipywidgets.Output(), ipywidgets.Output()
        self.under: Value | str | None = None  # what stands below the stages
        self._candidate: int | None = None  # with which the answer is to go on at the selected token
        self.view = ipywidgets.VBox([self.panes, self.chart, self.below])
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
        if self.choices.panel in FOLLOWS_SELECTION:
            self._renew_below()
        return self.candidates

    def branch(self, token: int) -> TraceExplorer:
        """Let the answer go on with the id `token` in place of the selected answer token; shown below the stages."""
        with self._lock:
            self._candidate = int(token)
            self.choices = self.choices.changed({"panel": "branches"})
        self._tell_controls(self._errors)
        self._renew_below()
        return self

    def run(self) -> None:
        """Compute what the choices ask for; a run that is under way is cancelled."""
        with self._lock:
            self._stamp += 1
            self._tracing = True
            stamp, choices = self._stamp, self.choices
        self._worker.post(lambda cancel: self._compute(stamp, choices, cancel))

    def close(self) -> None:
        """End the work, the model's process and the live view."""
        self._worker.close()
        self._outputs.stop()
        if self._host is not None:
            self._host.close()
        close_widgets(self.view, self.chart, self.below, self.panes)

    def html(self) -> str:
        """What it shows as static HTML."""
        with self._lock:
            return static_copy(self.trace, self.candidates, self._pieces(), self.trouble, self.under)

    def _settled(self) -> Trace | None:
        return self.trace

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
            self._tracing = self._tracing and stamp != self._stamp
            if stamp == self._stamp:
                self._tell_controls(errors)
            self._show_below(stamp, choices, None, cancel)
            return
        self._held = None
        self.panes.tell("begin", stamp=stamp)
        result, trouble = self._traced(stamp, choices, conversation, setup, cancel)
        if stamp != self._stamp:
            return  # a later request is on its way: its result is the one to show
        self._tracing = False
        self._finish(stamp, result, trouble)
        self._show_below(stamp, choices, result, cancel)

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
        failed = result.rendered.error if result.rendered else None
        self._errors = {"template": error_words(result.rendered)} if result.rendered and failed else {}
        self._place = (failed.line, failed.column) if failed and failed.line else None
        return result, trouble_of(result)

    def _finish(self, stamp: int, result: Trace | None, trouble: str) -> None:
        self._show_held(stamp)
        with self._lock:
            for name in STAGES:
                if result is not None and getattr(result, name) is None:
                    self._show_stage(stamp, name, None)
            if result is not None:
                self.trace = result
                self._previous = result if result.tokens is not None else self._previous
            self.trouble = trouble
        self._tell_controls(self._errors)
        self.panes.tell("end", stamp=stamp, elapsed=elapsed(result), trouble=trouble)
        self._draw_chart()
        self._outputs.refresh_soon()

    def _show_below(self, stamp: int, choices: Choices, result: Trace | None, cancel: Cancel) -> None:
        """What the user wants to see below the stages, of this very request; an error there is shown there."""
        kind = BELOW.get(choices.panel)
        if kind is None and self.under is None:
            return
        self.panes.tell("below", stamp=stamp, panel=choices.panel, busy=True)
        try:
            asked = self._asked(result)
            under = kind(asked, partial(self._progress, stamp), cancel) if kind and asked else None
        except Cancelled:
            under = self.under if stamp == self._stamp else None  # what was had stays
        except WorkbenchError as error:
            under = str(error)
        self.panes.tell("below", stamp=stamp, panel=choices.panel, busy=False)
        if stamp == self._stamp:
            self.under = under
            page = html_of(under) if isinstance(under, Value) else wrong(under) if under else ""
            shown = {"output_type": "display_data", "data": {"text/html": page}, "metadata": {}}
            self.below.outputs = (shown,) if page else ()
            self._outputs.refresh_soon()

    def _asked(self, result: Trace | None) -> Asked | None:
        if result is None or self._host is None:
            return None
        with self._lock:
            at = {kind: place for kind, place in [self._selected or ("", 0)] if kind}
            candidate, self._candidate = self._candidate, None
        return Asked(result, self._host, at.get("token"), at.get("step"), candidate, self.under)

    def _renew_below(self) -> None:
        """Compute what stands below once more, of what is shown; a trace that runs does it at its end anyway."""
        with self._lock:
            stamp, choices, result = self._stamp, self.choices, self.trace
        if not (self._tracing and self._worker.busy):
            self._worker.post(lambda cancel: self._show_below(stamp, choices, result, cancel))

    def _reached(self, stamp: int, setup: Setup, name: str, value: Any) -> None:
        if isinstance(value, Scores | Generation):
            self._learn_pieces(setup, value)
        if name == "rendered" and self._previous is not None:
            self._held = value  # its tokens follow at once: the page draws both together, not twice
            return
        self._show_held(stamp, soon=name == "tokens")
        self._show_stage(stamp, name, value)
        if name == "tokens" and stamp == self._stamp:
            self._tell_controls({})  # behind what the user waits for; a text that has tokens has no error
        if name == "scores":
            self._draw_chart()

    def _show_held(self, stamp: int, *, soon: bool = False) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._show_stage(stamp, "rendered", held, soon=soon)

    def _show_stage(self, stamp: int, name: str, value: Any, *, soon: bool = False) -> None:
        """Tell the page about one stage; `soon`: another follows at once, and both are drawn together."""
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
        told = {"stamp": stamp, "name": name, "soon": soon}
        self.panes.tell("stage", sent.buffers, **told, facts=sent.facts, arrays=sent.arrays)

    def _missing(self, value: Rendered) -> list[str]:
        """What of the request is not in the prompt, and what came of its fields of no common name, in words."""
        conversation, (_, setup, _) = self.stages.get("messages"), self.choices.read()
        if conversation is None or setup is None:
            return []
        template = resolve_template(setup, read_header(setup.model) if setup.model else None)
        clock = setup.effective()["template"]["clock"]
        found = measured(conversation, template, value, clock=clock, only=conversation.unknown_fields)
        lost = missing_words(found.reach) if found.reach is not None else []
        return [clean(words) for words in (*(f"not in the prompt: {words}" for words in lost), *field_words(found))]

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
            "change": lambda: self._edited(message["changes"], *message.get("edit", ())),
            "select": lambda: self.select(token=message["token"], step=message["step"]),
            "branch": lambda: self.branch(message["token"]),
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
        self._tell_controls(self._errors)
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

    def _tell_controls(self, errors: dict[str, str]) -> None:
        """What the controls hold now, and the last edit of each page that is in it."""
        with self._lock:
            held = controls(self.choices, self.sources, errors, self._place)
            self.panes.tell("controls", **held, heard=self._heard)

    def _edited(self, changes: dict[str, Any], page: str = "", number: int = 0) -> None:
        with self._lock:
            self._heard[page] = number
            self.change(**changes)

    def _say(self, text: str) -> None:
        self.trouble = text
        self.panes.tell("trouble", text=text)

    # -- chart and copy ------------------------------------------------------------------------------

    def _draw_chart(self) -> None:
        with self._lock:
            self.candidates = self._candidates()
            rows = self.candidates.rows[:MOST_CHOICES] if self.candidates and self._selected else ()
            chosen = self._selected[1] if self._selected and self._selected[0] == "step" else None
            self.panes.tell(
                "candidates", step=chosen, rows=[[r.id, clean(r.piece), r.probability, r.here] for r in rows]
            )
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
