"""The page's side of the tokenizer's switches: one widget whose script and style are plain files of this package."""

from __future__ import annotations

from functools import cache
from typing import Any

import anywidget

from workbench.widgets.panes import HERE, styles

SCRIPTS = ("text", "dom", "switches")


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@cache
def sheet() -> str:
    """The explorer's style sheet and what the switches add to it."""
    return styles() + (HERE / "switches.css").read_text(encoding="utf-8")


class SwitchPanel(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """The controls. All traffic is messages; nothing is kept in its state."""

    _esm = script()
    _css = sheet()

    def tell(self, kind: str, **facts: Any) -> None:
        """Send a message to every view of this widget."""
        self.send({"type": kind, **facts})

    def __repr__(self) -> str:
        return "Tokenizer switches (run this cell for the live view; a static copy stands below)"
