"""The page's side of the explorer: one widget whose script and style are plain files of this package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import anywidget

HERE = Path(__file__).parent
# In the order in which they use each other; they share one module.
SCRIPTS = ("text", "dom", "data", "links", "strip", "panes", "editor", "controls", "inspector", "explorer")


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@cache
def styles() -> str:
    """The widget's style sheet."""
    return (HERE / "explorer.css").read_text(encoding="utf-8")


class StagePanes(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """Controls and linked stages. All traffic is messages; nothing that a stage holds is kept in its state."""

    _esm = script()
    _css = styles()

    def tell(self, kind: str, buffers: list[bytes] | None = None, **facts: Any) -> None:
        """Send a message to every view of this widget."""
        self.send({"type": kind, **facts}, buffers)

    def __repr__(self) -> str:
        return "Trace explorer (run this cell for the live view; a static copy stands below)"
