"""The explorer's two outputs in a cell: the live view, and a static copy for readers without a kernel.

Two, because a saved widget that is not alive takes the place of everything else in its own output: a
trusted notebook says "model not found" there. The copy is an output of its own; the live view hides it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import IPython.display
import ipywidgets

WIDGET = "application/vnd.jupyter.widget-view+json"
COPY_AFTER_S = 0.6
_ipython: Any = IPython.display  # it carries no types


class CellOutputs:
    """What stands in the cell that displayed the explorer last; `html` makes the copy."""

    def __init__(self, html: Callable[[], str]) -> None:
        self._html = html
        self._live: Any = None
        self._copy: Any = None
        self._timer: threading.Timer | None = None

    def display(self, view: Any, text: str) -> None:
        """Show the widget `view` (`text` where it cannot be shown) and the copy."""
        self._live, self._copy = _ipython.DisplayHandle(), _ipython.DisplayHandle()
        bundle = view._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle  # anywidget gives metadata, too
        self._live.display({WIDGET: data[WIDGET], "text/plain": text}, raw=True)
        self._copy.display(_ipython.HTML(self._html()))

    def refresh_soon(self) -> None:
        """Bring the copy up to date when nothing has changed for a moment."""
        if self._copy is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(COPY_AFTER_S, self.refresh)
        self._timer.daemon = True
        self._timer.start()

    def refresh(self) -> None:
        """Bring the copy up to date."""
        if self._copy is not None:
            self._copy.update(_ipython.HTML(self._html()))

    def freeze(self) -> None:
        """The static copy takes the live view's place; nothing changes from then on."""
        self.stop()
        if self._live is not None:
            self._live.update(_ipython.HTML(self._html()))
            self._copy.update(_ipython.HTML(""))
        self._live = self._copy = None

    def stop(self) -> None:
        """Forget a refresh that waits."""
        if self._timer is not None:
            self._timer.cancel()


def close_widgets(*widgets: ipywidgets.Widget) -> None:
    """Close widgets with their layouts and styles, which stay open, here and in every page, where only they are."""
    for widget in widgets:
        for part in (getattr(widget, name, None) for name in ("layout", "style")):
            if isinstance(part, ipywidgets.Widget):
                part.close()
        widget.close()
