"""The runtime lab: two setups of one model live beside each other, what each setting costs and what it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from workbench.conversation import Conversation
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.versus import Side, Versus, versus
from workbench.widgets import sources as listed
from workbench.widgets.choices import Choices
from workbench.widgets.jobs import Worker
from workbench.widgets.knobs import Knobs
from workbench.widgets.live import Live
from workbench.widgets.outputs import CellOutputs, close_widgets
from workbench.widgets.payload import clean
from workbench.widgets.runtime_facts import (
    SIDES,
    Foreseen,
    Foresight,
    groups,
    names_of_devices,
    pending,
    side_facts,
)
from workbench.widgets.runtime_panel import RuntimePanel
from workbench.widgets.runtime_results import Results, static_copy
from workbench.widgets.sources import Sources

MOST_TOKENS = "64"  # of an answer, unless somebody says otherwise: long enough to part, short enough to wait for
PROGRESS_EVERY_S = 0.1


class RuntimeLab(Live[Versus | None]):
    """Controls for two sides, a and b, and what comes of them. Display it, or `await` it until it has settled.

    `result` is what it shows, a value like any other; `knobs` what the controls hold. Both models run in processes of
    their own, which end with `close()` or with the kernel. With `live` every change is computed at once, else by
    `run()`; `layers` compares layer by layer, too.
    """

    def __init__(self, choices: Choices, sources: Sources, sides: dict[str, Knobs]) -> None:
        self.choices, self.sources, self.knobs = choices, sources, sides
        self.live, self.layers = True, False
        self.result: Versus | None = None
        self.foresight = Foresight()
        self.trouble = ""
        self.errors: dict[str, dict[str, str]] = {side: {} for side in SIDES}
        self._request_error = ""
        self._asked: tuple[Conversation | None, dict[str, Setup | None]] = (None, dict.fromkeys(SIDES))
        self._hosts: tuple[Host, Host] | None = None
        self._stamp, self._last_progress = 0, 0.0
        self._lock = threading.RLock()  # callbacks come on any thread, beside the worker's
        self.panel, self.results = RuntimePanel(), Results()
        self.view = ipywidgets.VBox([self.panel, self.results.box])
        self._outputs = CellOutputs(self.html)
        self.panel.on_msg(self._received)
        self._worker = Worker("workbench-runtime", self._failed)
        self._renew()

    # -- what a script can do ------------------------------------------------------------------------

    @property
    def memory(self) -> dict[str, Foreseen]:
        """By side what it would take of each device, or in words why that is not known."""
        return dict(self.foresight.memory)

    def change(self, side: str, **changes: Any) -> RuntimeLab:
        """Change settings of side "a" or "b" by name, as its controls do. Errors: `BadRequest`."""
        if side not in SIDES:
            raise BadRequest(f"the side is {side!r}", 'accepted are "a" and "b"')
        with self._lock:
            self.knobs = self.knobs | {side: self.knobs[side].changed(changes)}
        self._renew()
        return self

    def ask(self, **changes: Any) -> RuntimeLab:
        """Change the request, by `request` (a sample's name), `request_text` or `max_tokens`. Errors: `BadRequest`."""
        with self._lock:
            self.choices = self.sources.applied(self.choices, changes)
        self._renew()
        return self

    def switch(self, *, live: bool | None = None, layers: bool | None = None) -> RuntimeLab:
        """Compute each change at once or not; compare layer by layer or not."""
        with self._lock:
            self.live = self.live if live is None else bool(live)
            self.layers = self.layers if layers is None else bool(layers)
        self._renew()
        return self

    def align(self) -> RuntimeLab:
        """Give b all settings of a."""
        with self._lock:
            self.knobs = self.knobs | {"b": self.knobs["a"]}
        self._renew()
        return self

    def run(self) -> None:
        """Compute what the controls ask for; what runs is cancelled."""
        self._renew(now=True)

    def close(self) -> None:
        """End the work, the models' processes and the live view."""
        self._worker.close()
        self._outputs.stop()
        for host in self._hosts or ():
            host.close()
        self.results.close()
        close_widgets(self.view, self.panel)

    def html(self) -> str:
        """What it shows as static HTML."""
        with self._lock:
            return static_copy(self.result, self.trouble)

    def _settled(self) -> Versus | None:
        return self.result

    def __repr__(self) -> str:
        state = "working" if self._worker.busy else "settled"
        return f"RuntimeLab({state}): {self.result!r}"

    def _ipython_display_(self) -> None:
        self._outputs.display(self.view, repr(self.panel))

    # -- on the worker's thread ----------------------------------------------------------------------

    def _renew(self, *, now: bool = False) -> None:
        with self._lock:
            self._stamp += 1
            stamp = self._stamp
        self._worker.post(lambda cancel: self._work(stamp, cancel, now=now))

    def _work(self, stamp: int, cancel: Cancel, *, now: bool) -> None:
        self.panel.tell("begin", stamp=stamp)
        trouble = ""
        try:
            request, setups = self._read()
            self._tell_controls()
            for side in SIDES:
                host, progress = self._host(side), self._progress(stamp)
                if self.foresight.ask(side, setups[side], host, progress=progress, cancel=cancel):
                    self._tell_controls()
            if request is not None and (self.live or now) and (a := setups["a"]) and (b := setups["b"]):
                self._compute(stamp, request, (a, b), cancel)
        except Cancelled:
            trouble = "cancelled; what was computed before stays"
        except WorkbenchError as error:
            trouble = str(error)
        if stamp == self._stamp:
            self._end(stamp, trouble)

    def _end(self, stamp: int, trouble: str) -> None:
        self.trouble = trouble
        self._tell_controls()
        self.panel.tell("end", stamp=stamp, trouble=clean(trouble))
        self._outputs.refresh_soon()

    def _read(self) -> tuple[Conversation | None, dict[str, Setup | None]]:
        """The request and both setups, None where they cannot be read; what is wrong stands in `errors`."""
        with self._lock:
            choices, knobs = self.choices, dict(self.knobs)
        most = dict(choices.sampling).get("max_tokens", "")
        request, self._request_error = None, ""
        try:
            request = choices.conversation()
            sampling = {"sampling.max_tokens": _whole(most)}
        except WorkbenchError as error:
            self._request_error = str(error)
            sampling = {}
        setups: dict[str, Setup | None] = {}
        for side in SIDES:
            setup, self.errors[side] = knobs[side].read()
            setups[side] = setup.replace(**sampling) if setup is not None else None
        self._asked = (request if not self._request_error else None), setups
        return self._asked

    def _compute(self, stamp: int, request: Conversation, setups: tuple[Setup, Setup], cancel: Cancel) -> None:
        self._hosts = self._hosts or (Host(setups[0]), Host(setups[1]))
        versus(
            request,
            *setups,
            layers=self.layers,
            hosts=self._hosts,
            previous=self.result,
            on_part=lambda part: self._show(stamp, part),
            progress=self._progress(stamp),
            cancel=cancel,
        )

    def _show(self, stamp: int, part: Versus) -> None:
        """The result as it grows, from where both sides have come."""
        if stamp != self._stamp or part.b == Side(part.b.setup):
            return
        with self._lock:
            self.result = part
        self.results.show(part)
        self._tell_controls()
        self._outputs.refresh_soon()

    def _progress(self, stamp: int) -> Callable[[str, int, int], None]:
        def report(operation: str, done: int, total: int) -> None:
            now = time.monotonic()
            if now - self._last_progress >= PROGRESS_EVERY_S:
                self._last_progress = now
                self.panel.tell("progress", stamp=stamp, operation=operation, done=done, total=total)

        return report

    def _failed(self, failure: BaseException) -> None:
        self._end(self._stamp, f"{type(failure).__name__}: {failure}")

    # -- messages of the page, on any thread ---------------------------------------------------------

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        handlers: dict[str, Callable[[], Any]] = {
            "hello": self._greet,
            "change": lambda: self.change(message["side"], **message["changes"]),
            "ask": lambda: self.ask(**message["changes"]),
            "switch": lambda: self.switch(**message["changes"]),
            "align": self.align,
            "run": self.run,
            "cancel": self.cancel,
            "freeze": self.freeze,
            "log": lambda: self._tell_log(message["side"]),
            "theme": lambda: self.results.use_theme(message["theme"]),
        }
        try:
            handlers[message["type"]]()
        except Exception as failure:  # noqa: BLE001 (a callback's error must be seen, not lost in a log)
            self._failed(failure)

    def _greet(self) -> None:
        """A view opened: send it everything that is shown."""
        self.panel.tell("knobs", groups=groups(), options=self.sources.options(self.choices)["model"])
        self._tell_controls()
        if not self._worker.busy:
            self.panel.tell("end", stamp=self._stamp, trouble=clean(self.trouble))

    def _host(self, side: str) -> Host | None:
        return self._hosts[SIDES.index(side)] if self._hosts else None

    def _tell_log(self, side: str) -> None:
        host = self._host(side)
        self.panel.tell("log", side=side, lines=list(host.log if host is not None else ()))

    def _tell_controls(self) -> None:
        with self._lock:
            shown = dict.fromkeys(SIDES) if self.result is None else {"a": self.result.a, "b": self.result.b}
            devices = names_of_devices(list(self.memory.values()))
            request, setups = self._asked
            takes = {s: pending(setups[s], request, shown[s], self._host(s)) for s in SIDES}
            sides = {
                s: side_facts(self.knobs[s], self.errors[s], self.memory[s], shown[s], devices, takes[s]) for s in SIDES
            }
            asked = {
                "options": [list(pair) for pair in self.sources.options(self.choices)["request"]],
                "name": self.choices.request,
                "text": clean(self.choices.request_text),
                "max_tokens": dict(self.choices.sampling).get("max_tokens", ""),
                "error": clean(self._request_error),
            }
            self.panel.tell("controls", sides=sides, request=asked, live=self.live, layers=self.layers)


def _whole(text: str) -> int | None:
    try:
        return int(text) if text.strip() else None
    except ValueError as error:
        raise BadRequest(f"the answer's length is {text!r}", "accepted is a whole number of tokens") from error


def runtime_lab(
    model: str | Path | None = None,
    request: Conversation | dict[str, Any] | list[Any] | str | Path | None = None,
    a: Setup | None = None,
    b: Setup | None = None,
) -> RuntimeLab:
    """The runtime lab on a model (the demo model where none is given) and a request (a sample where none is given).

    `a` and `b` are the first setups; b is like a where it is not given.
    Errors: `BadFile` where no model is given and the demo model is not there; `BadRequest` for a bad request.
    """
    choices, sources = listed.start(model, request, a)
    most = dict(choices.sampling).get("max_tokens") or choices.conversation().sampling.get("max_tokens") or MOST_TOKENS
    first = choices.base
    second = first if b is None else b if b.model is not None else b.replace(model=first.model)
    sides = {"a": Knobs(first), "b": Knobs(second)}
    return RuntimeLab(choices.changed({"max_tokens": str(most)}), sources, sides)
