"""The switches of a tokenizer for notebooks: each changed for this setup only, its effect on a text shown live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ipywidgets

from workbench.compare.effect import Effect
from workbench.conversation import Conversation
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.tokenizers.switches import Switches, switches
from workbench.tokens import effect, effect_on, with_token_types
from workbench.values import FrozenJSON, clip
from workbench.views import html_of
from workbench.views.html import code, wrong
from workbench.widgets.copy import CLASS
from workbench.widgets.jobs import Worker
from workbench.widgets.live import Live
from workbench.widgets.outputs import CellOutputs, close_widgets
from workbench.widgets.payload import clean
from workbench.widgets.sources import request_text
from workbench.widgets.switch_facts import effect_facts, effect_page, switch_facts, token_of, token_words
from workbench.widgets.switch_panel import SwitchPanel

SHOWN_GIVEN = 2_000  # characters of the text in the static copy
PROGRESS_EVERY_S = 0.1
CANCELLED = "cancelled: what stands below is of the settings before"
Reads = Literal["text", "request"]
SAMPLE = "def add(x):\n    return x + 12345"


class Known(NamedTuple):
    """What was worked out last, and of which settings: the hosts are still as it left them."""

    settings: FrozenJSON
    effect: Effect
    switches: Switches


class TokenizerSwitches(Live[Effect | None]):
    """Switches of `base`'s tokenizer and what they do to a text or a request. Display it, or `await` it.

    `changes` and `types` are what was changed, as `workbench.tokens.effect` takes them; `effect` what that does, None
    where it is not known. The model file is never changed, and its weights are not read.
    """

    def __init__(self, given: str, reads: Reads, base: Setup) -> None:
        self.given, self.reads, self.base = given, reads, base
        self.changes: dict[str, Any] = {}
        self.types: dict[int | str, str] = {}
        self.effect: Effect | None = None
        self.switches: Switches = switches(base)
        self.before: Switches = self.switches
        self.trouble = ""
        self._pieces: dict[int, bytes] = {}
        self._known: Known | None = None
        self._stamp, self._last_progress = 0, 0.0
        self._lock = threading.RLock()  # callbacks come on any thread, beside the worker's
        self._hosts = (Host(base), Host(base))
        self.panel, self.below = SwitchPanel(), ipywidgets.Output()
        self.view = ipywidgets.VBox([self.panel, self.below])
        self._outputs = CellOutputs(self.html)
        self.panel.on_msg(self._received)
        self._worker = Worker("workbench-switches", self._failed)
        self.run()

    # -- what a script can do ------------------------------------------------------------------------

    @property
    def setup(self) -> Setup:
        """The changed setup. Errors: `BadRequest` for a change that cannot be."""
        return with_token_types(self.base.replace(**self.changes), self.types)

    def change(self, **changes: Any) -> TokenizerSwitches:
        """Change settings by the names of `Setup.replace`; None takes a key of the file out."""
        return self._changed(changes=self.changes | changes)

    def reset(self, *names: str) -> TokenizerSwitches:
        """Settings as they were given, all of them and all types where none is named."""
        kept = {name: value for name, value in self.changes.items() if names and name not in names}
        return self._changed(changes=kept, types=self.types if names else {})

    def retype(self, token: int | str, kind: str | None) -> TokenizerSwitches:
        """Give a token (by id, or by its text in the file) another type; None: the file's own."""
        kept = {which: own for which, own in self.types.items() if which != token}
        return self._changed(types=kept if kind is None else kept | {token: kind})

    def read(self, given: str | Conversation | dict[str, Any] | list[Any] | Path) -> TokenizerSwitches:
        """Another text or request."""
        text, reads = _given(given)
        return self._changed(given=text, reads=reads)

    def run(self) -> None:
        """Compute the effect; what is under way is cancelled."""
        with self._lock:
            self._stamp += 1
            stamp = self._stamp
        self._worker.post(lambda cancel: self._compute(stamp, cancel))

    def cancel(self) -> None:
        """Stop what runs; what was had stays."""
        if self._worker.busy:
            self._worker.cancel()
            self.trouble = CANCELLED
            self._show()

    def html(self) -> str:
        """What it shows as static HTML."""
        with self._lock:
            parts = [html_of(self.switches), f"<div>{code(clip(self.given, SHOWN_GIVEN))}</div>"]
            parts += [wrong(self.trouble) if self.trouble else "", effect_page(self.effect)]
        return f'<div class="{CLASS}"><b>Tokenizer switches, static copy</b>{"".join(parts)}</div>'

    def close(self) -> None:
        """End the work, both processes and the live view."""
        self._worker.close()
        self._outputs.stop()
        for host in self._hosts:
            host.close()
        close_widgets(self.view, self.below, self.panel)

    def _settled(self) -> Effect | None:
        return self.effect

    def __repr__(self) -> str:
        state = "working" if self._worker.busy else "settled"
        return f"TokenizerSwitches({state}): {self.effect!r}"

    def _ipython_display_(self) -> None:
        self._outputs.display(self.view, repr(self.panel))

    # -- on the worker's thread ----------------------------------------------------------------------

    def _compute(self, stamp: int, cancel: Cancel) -> None:
        with self._lock:
            given, reads, changes, types = self.given, self.reads, dict(self.changes), dict(self.types)
        self.panel.tell("begin", stamp=stamp, facts=self._facts())
        found, now, trouble = None, None, ""
        try:
            request = Conversation.from_json(given) if reads == "request" else given
            worked_out = self._effect(request, changes, types, cancel)
            found, now = worked_out.effect, worked_out.switches
        except Cancelled:
            trouble = CANCELLED
        except WorkbenchError as error:
            trouble = str(error)
        with self._lock:
            if stamp != self._stamp:
                return  # a later change is on its way: its effect is the one to show
            self.trouble, self.switches = trouble, now or self.switches
            if not cancel.is_set():
                self.effect = found
        self._show()

    def _effect(
        self, request: str | Conversation, changes: dict[str, Any], types: dict[int | str, str], cancel: Cancel
    ) -> Known:
        """The effect, and the switches as they are; for another text alone nothing is loaded again."""
        known, self._known = self._known, None  # what stops half way leaves the hosts anywhere
        progress, hosts = self._progress, self._hosts
        settings = FrozenJSON([changes, list(types.items())])
        if known is not None and known.settings == settings:
            found = effect_on(request, known.effect, hosts, progress=progress, cancel=cancel)
            now = known.switches
        else:
            now = switches(with_token_types(self.base.replace(**changes), types))
            found = effect(request, self.base, types=types, hosts=hosts, progress=progress, cancel=cancel, **changes)
            self._learn_pieces(now)
        self._known = Known(settings, found, now)
        return self._known

    def _learn_pieces(self, now: Switches) -> None:
        """What the ids stand for that the switches name."""
        ids = {s.value for each in (self.before, now) for s in each.switches if s.kind == "id" and s.value is not None}
        missing = sorted(ids - self._pieces.keys())
        self._pieces |= self._hosts[0].pieces(missing) if missing else {}

    def _show(self) -> None:
        page = effect_page(self.effect)
        shown = {"output_type": "display_data", "data": {"text/html": page}, "metadata": {}}
        self.below.outputs = (shown,) if page else ()
        self.panel.tell("end", stamp=self._stamp, trouble=clean(self.trouble), facts=self._facts())
        self._outputs.refresh_soon()

    def _facts(self) -> dict[str, Any]:
        with self._lock:
            return switch_facts(self.before, self.switches, self._pieces) | {
                "changes": self.changes,
                "types": [[token_words(which), kind] for which, kind in self.types.items()],
                "effect": effect_facts(self.effect),
                "given": clean(self.given),
                "reads": self.reads,
            }

    def _progress(self, operation: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_EVERY_S:
            self._last_progress = now
            self.panel.tell("progress", operation=operation, done=done, total=total)

    def _failed(self, failure: BaseException) -> None:
        self.trouble = f"{type(failure).__name__}: {failure}"
        self._show()

    # -- the page, on any thread ---------------------------------------------------------------------

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        handlers: dict[str, Callable[[], Any]] = {
            "hello": self._greet,
            "change": lambda: self.change(**message["changes"]),
            "reset": lambda: self.reset(*message["names"]),
            "retype": lambda: self.retype(token_of(message["token"]), message["kind"]),
            "given": lambda: self._changed(given=message["text"], reads=message["reads"]),
            "cancel": self.cancel,
            "freeze": self.freeze,
        }
        try:
            handlers[message["type"]]()
        except Exception as failure:  # noqa: BLE001 (a callback's error must be seen, not lost in a log)
            self._failed(failure)

    def _greet(self) -> None:
        """A view opened: send it everything that is shown."""
        self.panel.tell(
            "begin" if self._worker.busy else "end", stamp=self._stamp, trouble=clean(self.trouble), facts=self._facts()
        )

    def _changed(self, **fields: Any) -> TokenizerSwitches:
        with self._lock:
            for name, value in fields.items():
                setattr(self, name, value)
        self.run()
        return self


def _given(given: str | Conversation | dict[str, Any] | list[Any] | Path) -> tuple[str, Reads]:
    """What is to be tokenised as text to edit. Errors: `BadRequest` for a text that is no Unicode or a bad request."""
    if not isinstance(given, str):
        return request_text(Conversation.of(given)), "request"
    try:
        given.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRequest("the text holds a lone surrogate", "accepted is valid Unicode") from error
    return given, "text"


def try_switches(
    setup: Setup | str | Path, given: str | Conversation | dict[str, Any] | list[Any] | Path = SAMPLE
) -> TokenizerSwitches:
    """The switches of a setup's (or a GGUF file's) tokenizer, and their effect on a text (a str) or a request.

    Errors: `BadFile`, `BadRequest` for a bad file, setup or request.
    """
    return TokenizerSwitches(*_given(given), setup if isinstance(setup, Setup) else Setup(model=str(setup)))
