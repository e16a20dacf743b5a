"""The vocabulary browser for notebooks: every token of a model searched, filtered and explained, both ways."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.compare.vocabulary_search import ALL, GROUPS, Lookup
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.gguf.header import read_header
from workbench.progress import Cancel
from workbench.setup import Setup
from workbench.tokenizers.entry import VocabularyEntry, entry
from workbench.tokenizers.vocabulary import Vocabulary, read_vocabulary
from workbench.views import html_of
from workbench.views.html import escape, wrong
from workbench.widgets.copy import CLASS
from workbench.widgets.jobs import Worker
from workbench.widgets.live import Live
from workbench.widgets.outputs import CellOutputs
from workbench.widgets.panes import HERE, styles
from workbench.widgets.payload import clean
from workbench.widgets.vocabulary_facts import about, entry_facts, row_facts

SCRIPTS = ("text", "dom", "vocabulary_list", "vocabulary")
MOST_ROWS = 500  # that one message carries
NONE = -1  # no token is selected


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@cache
def sheet() -> str:
    """The explorer's style sheet and what the browser adds to it."""
    return styles() + (HERE / "vocabulary.css").read_text(encoding="utf-8")


class VocabularyBrowser(anywidget.AnyWidget, Live[Vocabulary | None]):  # type: ignore[misc]  # anywidget has no types
    """A vocabulary on screen; what the user searches and selects is here, and what is set here is on screen.

    `query` (see `workbench.compare.vocabulary_search`) and `group` decide what is `found`; `selection` is an id, -1 for
    none, and `entry` what is known of it. `vocabulary` is None until it was read: `await` the widget for that. The page
    holds only the rows near the screen; none of the tokens is kept in the widget's saved state.
    """

    _esm = script()
    _css = sheet()
    query = traitlets.Unicode().tag(sync=True)
    group = traitlets.Enum(GROUPS, default_value=ALL).tag(sync=True)
    selection = traitlets.Int(NONE).tag(sync=True)

    def __init__(self, source: Vocabulary | Setup) -> None:
        self.vocabulary: Vocabulary | None = None
        self.found: Vocabulary | None = None
        self.trouble = ""  # why there is no vocabulary
        self.wrong = ""  # why the query is none
        self._source = source
        self._lookup: Lookup | None = None
        self._stamp = 0
        self._lock = threading.RLock()  # callbacks come on any thread, beside the worker's
        self._outputs = CellOutputs(self.html)
        super().__init__()
        self.on_msg(self._received)
        self.observe(lambda _: self._search(), ["query", "group"])
        self.observe(lambda _: self._tell_entry(), ["selection"])
        self._worker = Worker("workbench-vocabulary", self._failed)
        self.read()

    # -- what a script can do ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The file's name."""
        return self._source.name if isinstance(self._source, Vocabulary) else Path(self._source.model or "").name

    @property
    def entry(self) -> VocabularyEntry | None:
        """What is known of the selected token; None for none."""
        if self.vocabulary is None or not 0 <= self.selection < self.vocabulary.n_vocab:
            return None
        return entry(self.vocabulary, self.selection)

    def read(self) -> None:
        """Read the vocabulary, anew where that failed or was cancelled."""
        self.trouble = ""
        self._worker.post(self._read)

    def cancel(self) -> None:
        """Stop reading; a vocabulary that was read stays."""
        self._worker.cancel()
        if self.vocabulary is None:
            self._say("reading the vocabulary was cancelled")

    def html(self) -> str:
        """What it shows as static HTML: the tokens found, cut with a count, and the selected one."""
        with self._lock:
            found, chosen = self.found, self.entry
        asked = ", ".join(part for part in (self.query and f"search “{self.query}”", self.group) if part)
        shown = [wrong(text) for text in (self.trouble, self.wrong) if text]
        if found is not None:
            shown += [f'<div style="font-size:12px;margin:4px 0">{escape(asked)}</div>' if asked != ALL else ""]
            shown += [html_of(value) for value in (chosen, found) if value is not None]
        body = "".join(shown) or "<p>the vocabulary was not read yet</p>"
        return f'<div class="{CLASS}"><b>Vocabulary browser, static copy</b>{body}</div>'

    def close(self) -> None:
        """End the work and the live view."""
        self._worker.close()
        self._outputs.stop()
        self.layout.close()
        anywidget.AnyWidget.close(self)

    def _settled(self) -> Vocabulary | None:
        return self.vocabulary

    def __repr__(self) -> str:
        return f"VocabularyBrowser({self.name}: {self.found!r})"

    def _ipython_display_(self) -> None:
        self._outputs.display(self, repr(self))

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The data alone: the library adds metadata, which a display handle takes elsewhere."""
        data: dict[str, Any] = super()._repr_mimebundle_(**options)[0]
        return data

    @traitlets.validate("selection")
    def _valid_selection(self, proposal: dict[str, Any]) -> int:
        token, known = int(proposal["value"]), self.vocabulary
        if token != NONE and (token < 0 or (known is not None and token >= known.n_vocab)):
            raise BadRequest(
                f"the selection is {token}",
                f"accepted are ids from 0 to {known.n_vocab - 1}" if known else "accepted are ids from 0",
                f"{NONE} selects nothing",
            )
        return token

    # -- on the worker's thread ----------------------------------------------------------------------

    def _read(self, cancel: Cancel) -> None:
        try:
            found = self._source
            if isinstance(found, Setup):
                found = read_vocabulary(found, merges=True, progress=self._progress, cancel=cancel)
            lookup = Lookup(found)
            lookup.groups  # noqa: B018 (what looks special takes a moment: here, not while somebody types)
        except Cancelled:
            pass  # `cancel` has said so
        except WorkbenchError as error:
            self._say(str(error))
        else:
            with self._lock:
                self.vocabulary, self._lookup, self.trouble = found, lookup, ""
                if self.selection >= found.n_vocab:
                    self.selection = NONE
            self._greet()

    def _progress(self, operation: str, done: int, total: int) -> None:
        self.send({"type": "progress", "operation": operation, "done": done, "total": total})

    def _failed(self, failure: BaseException) -> None:
        self._say(f"{type(failure).__name__}: {failure}")

    def _say(self, text: str) -> None:
        self.trouble = text
        self.send({"type": "trouble", "text": clean(text)})
        self._outputs.refresh_soon()

    # -- the page, on any thread ---------------------------------------------------------------------

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        handlers: dict[str, Callable[[], Any]] = {
            "hello": self._greet,
            "rows": lambda: self._tell_rows(message["stamp"], message["start"], message["end"]),
            "again": self.read,
            "cancel": self.cancel,
            "freeze": self.freeze,
        }
        handlers[message["type"]]()

    def _greet(self) -> None:
        """A view opened, or the vocabulary was read."""
        if self._lookup is None:
            self.send({"type": "trouble", "text": clean(self.trouble)} if self.trouble else {"type": "waiting"})
            return
        self.send({"type": "vocabulary"} | about(self._lookup))
        self._search()
        self._tell_entry()

    def _search(self) -> None:
        with self._lock:
            if self._lookup is None:
                return
            self._stamp += 1
            try:
                self.found, self.wrong = self._lookup.find(self.query, self.group), ""
            except WorkbenchError as error:
                self.found, self.wrong = self._lookup.vocabulary.only([]), str(error)
            self.send({"type": "found", "stamp": self._stamp, "n": len(self.found), "wrong": clean(self.wrong)})
        self._outputs.refresh_soon()

    def _tell_rows(self, stamp: int, start: int, end: int) -> None:
        """Rows [start, end) of what was found, for the page that asked."""
        with self._lock:
            if self.found is None or stamp != self._stamp:
                return  # of an older search: the page has forgotten it too
            found, first = self.found, max(0, start)
        rows = row_facts(found, first, min(end, first + MOST_ROWS))
        self.send({"type": "rows", "stamp": stamp, "start": first, "rows": rows})

    def _tell_entry(self) -> None:
        """The selected token, and its place among those found (-1: not among them)."""
        with self._lock:
            chosen, found = self.entry, self.found
            if found is None:
                return
            at = int(found.ids.searchsorted(self.selection))
            at = at if at < len(found) and found.ids[at] == self.selection else NONE
        self.send({"type": "entry", "at": at} | (entry_facts(chosen) if chosen else {"id": NONE}))
        self._outputs.refresh_soon()


def browse_vocabulary(source: Vocabulary | Setup | str | Path) -> VocabularyBrowser:
    """The vocabulary of a setup, a GGUF file or one that was read, to search and to look up tokens in.

    It is shown at once and read beside the kernel, weights excepted. Errors: `BadFile`, `BadRequest` for a bad file or
    a setup without one; what comes up while it is read is shown there.
    """
    if isinstance(source, Vocabulary):
        return VocabularyBrowser(source)
    setup = source if isinstance(source, Setup) else Setup(model=str(source))
    if setup.model is None:
        raise BadRequest("the setup names no model", "accepted is a GGUF file's path", "set its key model")
    read_header(setup.model)
    return VocabularyBrowser(setup)
