"""Quantisations side by side, live: strips under each other, flips, cost, quality, layers, tensor groups, KV cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets

from workbench import data
from workbench.conversation import Conversation
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.progress import Cancel
from workbench.setup import Setup
from workbench.values import Plotted, Value
from workbench.variants import Variants, compare_variants
from workbench.views import chart_of, html_of
from workbench.views.candidates import Candidates
from workbench.views.candidates import view as candidates_view
from workbench.views.html import heading, wrong
from workbench.widgets import precision_facts as facts
from workbench.widgets import sources as listed
from workbench.widgets.copy import CLASS
from workbench.widgets.jobs import Worker
from workbench.widgets.live import Live
from workbench.widgets.outputs import CellOutputs, close_widgets
from workbench.widgets.pool import Pool
from workbench.widgets.precision_panels import OWN_PROCESSES, PANEL_OF, Asked
from workbench.widgets.precisions import Column, Precisions, Ready
from workbench.widgets.quantisation_page import QuantisationPage
from workbench.widgets.sources import Sources

FIRST_REQUEST = "read-a-file"
BELOW = {"panel", "chosen", "text", "n_ctx"}  # choices that touch only what stands below the strips
PROGRESS_EVERY_S = 0.1
SHOW_EVERY_S = 0.5  # how often figures that come one after the other are drawn


class QuantisationLab(Live[Variants | None]):
    """The live view of one request under up to four setups. Display it, or `await` it until it has settled.

    `found` is what it shows, a value like any other, `under` what stands below; `choices` what the controls hold.
    Each setup runs in a process of its own; they end with `close()` or with the kernel.
    """

    def __init__(self, choices: Precisions, sources: Sources) -> None:
        self.choices, self.sources = choices, sources
        self.found: Variants | None = None
        self.under: Value | str | None = None
        self.selection: int | None = None
        self.trouble = ""
        self._ready = Ready({}, {})
        self._pool = Pool()
        self._stamp, self._theme, self._last_progress, self._last_shown = 0, "light", 0.0, 0.0
        self._comparing = False
        self._lock = threading.RLock()  # callbacks come on any thread, beside the worker's
        self.page, self.chart, self.below = QuantisationPage(), ipywidgets.Output(), ipywidgets.Output()
        self.view = ipywidgets.VBox([self.page, self.chart, self.below])
        self._outputs = CellOutputs(self.html)
        self.page.on_msg(self._received)
        self._worker = Worker("workbench-quantisations", self._failed)
        self.run()

    # -- what a script can do ------------------------------------------------------------------------

    def change(self, **changes: Any) -> QuantisationLab:
        """Change choices by name, as the controls do, and compute what they touch. Errors: `BadRequest`."""
        with self._lock:
            self.choices = self._applied(self.choices, changes)
            waits = self._comparing and self._worker.busy  # what is on its way shows the new panel at its end
        if not set(changes) <= BELOW:
            self.run()
        elif not waits:
            self._post_below()
        return self

    def run(self, *, make: bool = False) -> None:
        """Compare what is chosen; `make` files of a large base, too. What is under way is cancelled."""
        with self._lock:
            self._stamp += 1
            self._comparing = True
            stamp, choices = self._stamp, self.choices
        self._worker.post(lambda cancel: self._compute(stamp, choices, make, cancel))

    def select(self, token: int | None) -> dict[str, Candidates]:
        """What each setup expected at a token, by name, shown under the strips; nothing for None or the first."""
        with self._lock:
            found, self.selection = self.found, token
        if found is None:
            return {}
        self.page.tell("selected", **facts.selected(found, token))
        self._outputs.refresh_soon()
        return dict(facts.sides(found, token)) if token is not None else {}

    def close(self) -> None:
        """End the work, the models' processes and the live view."""
        self._worker.close()
        self._outputs.stop()
        self._pool.close()
        close_widgets(self.view, self.chart, self.below, self.page)

    def html(self) -> str:
        """What it shows as static HTML."""
        with self._lock:
            found, under, token = self.found, self.under, self.selection
        parts = [f'<div class="{CLASS}"><b>Quantisations, static copy</b>']
        parts += [wrong(self.trouble)] if self.trouble else []
        parts += [wrong(f"{name}: {text}") for name, text in self._ready.errors.items()]
        parts.append(html_of(found) if found is not None else "<p>nothing was compared yet</p>")
        for name, known in facts.sides(found, token) if found is not None and token is not None else ():
            parts.append(heading(name) + candidates_view(known))
        parts.append(html_of(under) if isinstance(under, Value) else under or "")
        return "".join([*parts, "</div>"])

    def _settled(self) -> Variants | None:
        return self.found

    def __repr__(self) -> str:
        return f"QuantisationLab({'working' if self._worker.busy else 'settled'}): {self.found!r}"

    def _ipython_display_(self) -> None:
        self._outputs.display(self.view, repr(self.page))

    # -- on the worker's thread ----------------------------------------------------------------------

    def _compute(self, stamp: int, choices: Precisions, make: bool, cancel: Cancel) -> None:
        self._tell_controls(choices)
        self.page.tell("begin", stamp=stamp)
        found, ready, trouble = None, Ready({}, {}), ""
        try:
            conversation = choices.conversation()
            ready = choices.ready(make=make, progress=self._progress, cancel=cancel)
            found = self._compared(conversation, choices, ready.setups, cancel)
        except WorkbenchError as error:
            trouble = str(error)
        with self._lock:
            if stamp != self._stamp:
                return  # a later request is on its way: its result is the one to show
            self.found = found if found is not None else self.found
            self.trouble, self._ready = trouble, ready
            self._comparing, choices = False, self.choices
        self._show()
        self._end_with_below(stamp, choices, cancel) if found is not None else self._tell_end(stamp)

    def _compared(
        self, conversation: Conversation, choices: Precisions, setups: dict[str, Setup], cancel: Cancel
    ) -> Variants:
        name = choices.names[0]
        if name not in setups or len(setups) < 2:
            raise BadRequest("there is nothing to compare", "accepted are the reference and one more column")
        reference = setups[name]
        others = {other: setup for other, setup in setups.items() if other != name}
        hosts = self._pool.hosts_for([reference, *others.values()])
        found = compare_variants(conversation, reference, others, hosts=hosts, progress=self._progress, cancel=cancel)
        return found.called(name)

    def _post_below(self) -> None:
        """Compute what stands below once more, of what is shown."""
        with self._lock:
            stamp, choices = self._stamp, self.choices
        self._worker.post(lambda cancel: self._below_alone(stamp, choices, cancel))

    def _below_alone(self, stamp: int, choices: Precisions, cancel: Cancel) -> None:
        self._tell_controls(choices)
        self.page.tell("begin", stamp=stamp)
        self._end_with_below(stamp, choices, cancel)

    def _end_with_below(self, stamp: int, choices: Precisions, cancel: Cancel) -> None:
        """Show what stands below and say that nothing runs any more; last, draw what a cancel has left."""
        try:
            self._show_below(stamp, choices, cancel)
        except Cancelled as stop:
            self.page.tell("stopped", text=str(stop))
        self._tell_end(stamp)
        if cancel.is_set():
            self._draw_below(stamp, self.under)

    def _show_below(self, stamp: int, choices: Precisions, cancel: Cancel) -> None:
        """What the user wants to see below the strips; an error there is shown there. Errors: `Cancelled`."""
        panel, found = PANEL_OF.get(choices.panel), self.found
        if panel is None or found is None:
            self._draw_below(stamp, None)
            return
        setups = [found.reference.setup, *(variant.setup for variant in found.others)]
        if choices.panel in OWN_PROCESSES:
            self._pool.close()
        hosts = self._pool.hosts_for(setups) if choices.panel not in OWN_PROCESSES else []
        asked = Asked(found, choices, hosts, lambda value: self._show_part(stamp, value))
        try:
            self._draw_below(stamp, panel(asked, self._progress, cancel))
        except Cancelled:
            raise
        except WorkbenchError as error:
            self._draw_below(stamp, wrong(str(error)))

    def _show_part(self, stamp: int, value: Value) -> None:
        """Figures so far, drawn now and then; without a chart, which takes the page longer than the next ones take."""
        self.under = value
        now = time.monotonic()
        if now - self._last_shown >= SHOW_EVERY_S:
            self._last_shown = now
            self._draw_below(stamp, value, with_chart=False)

    # -- on any thread -------------------------------------------------------------------------------

    def _draw_below(self, stamp: int, under: Value | str | None, *, with_chart: bool = True) -> None:
        if stamp != self._stamp:
            return
        self.under = under
        page = html_of(under) if isinstance(under, Value) else under
        data = [chart_of(under, theme=self._theme).bundle] if with_chart and isinstance(under, Plotted) else []
        data += [{"text/html": page}] if page else []
        self.below.outputs = tuple({"output_type": "display_data", "data": one, "metadata": {}} for one in data)
        self._outputs.refresh_soon()

    def _show(self) -> None:
        """Everything that is known, to every view."""
        with self._lock:
            found, choices, ready = self.found, self.choices, self._ready
        self._tell_controls(choices)
        rows = facts.rows(found, choices, ready.errors)
        self.page.tell("rows", rows=rows, notes=facts.notes(found), make=bool(ready.held))
        if found is None:
            return
        sent = facts.strips(found)
        self.page.tell("strips", sent.buffers, facts=sent.facts, arrays=sent.arrays)
        self.selection = self.selection if self.selection is not None and self.selection < len(found) else None
        self.page.tell("selected", **facts.selected(found, self.selection))
        self._draw_chart()
        self._outputs.refresh_soon()

    def _draw_chart(self) -> None:
        if self.found is not None:
            bundle = chart_of(self.found, theme=self._theme).bundle
            self.chart.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)

    def _progress(self, operation: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_EVERY_S:
            self._last_progress = now
            self.page.tell("progress", operation=operation, done=done, total=total)

    def _failed(self, failure: BaseException) -> None:
        self.trouble = f"{type(failure).__name__}: {failure}"
        self._tell_end(self._stamp)

    def _tell_end(self, stamp: int) -> None:
        self.page.tell("end", stamp=stamp, trouble=self.trouble)

    def _tell_controls(self, choices: Precisions) -> None:
        self.page.tell("controls", **facts.controls(choices, self.sources))

    def _applied(self, choices: Precisions, changes: dict[str, Any]) -> Precisions:
        """A request that is picked brings its text; one that is typed is nobody's sample."""
        changes = dict(changes)
        if "request_text" in changes:
            self.sources.typed = changes["request_text"]
            changes["request"] = ""
        elif "request" in changes:
            name, known = changes["request"], self.sources.requests
            if name and name not in known:
                raise BadRequest(f"there is no request {name!r}", f"accepted are {', '.join(known)}")
            changes["request_text"] = self.sources.requests.get(name) or self.sources.typed or choices.request_text
        return choices.changed(changes)

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        handlers: dict[str, Callable[[], Any]] = {
            "hello": self._greet,
            "change": lambda: self.change(**message["changes"]),
            "select": lambda: self.select(message["token"]),
            "make": lambda: self.run(make=True),
            "again": self._post_below,
            "cancel": self.cancel,
            "freeze": self.freeze,
            "theme": lambda: self._use_theme(message["theme"]),
        }
        try:
            handlers[message["type"]]()
        except Exception as failure:  # noqa: BLE001 (a callback's error must be seen, not lost in a log)
            self._failed(failure)

    def _greet(self) -> None:
        self._show()
        if not self._worker.busy:
            self._tell_end(self._stamp)

    def _use_theme(self, theme: str) -> None:
        self._theme = "dark" if theme == "dark" else "light"
        self._draw_chart()
        self._draw_below(self._stamp, self.under)


def quantisation_lab(
    model: str | Path | None = None,
    request: Conversation | dict[str, Any] | list[Any] | str | Path | None = None,
    types: Sequence[str] = ("Q8_0", "Q4_0", "Q2_K"),
    *,
    setup: Setup | None = None,
) -> QuantisationLab:
    """The quantisation lab on a base file (toolsmith where none is given), at up to three `types`, and a request.

    Errors: `BadRequest` for a bad request or too many types.
    """
    base = setup or Setup()
    model = str(model or base.model or data.toolsmith())
    _, sources = listed.start(model, request, base)
    name = FIRST_REQUEST if request is None and FIRST_REQUEST in sources.requests else ""
    text = sources.requests.get(name) or sources.typed or listed.LEAST_REQUEST
    columns = (Column(), *(Column.of({"weights": kind.upper()}) for kind in types))
    choices = Precisions(model=model, request=name, request_text=text, base=base)
    return QuantisationLab(choices.changed({"columns": columns}), sources)
