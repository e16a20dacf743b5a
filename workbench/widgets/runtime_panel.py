"""The page's side of the runtime lab: one widget with the controls of both sides."""

from __future__ import annotations

from functools import cache
from typing import Any

import anywidget

from workbench.widgets.panes import HERE, styles

SCRIPTS = ("text", "dom", "runtime_knobs", "runtime")


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


class RuntimePanel(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """The controls of both sides. All traffic is messages; nothing is kept in its state."""

    _esm = script()
    _css = styles() + (HERE / "runtime.css").read_text(encoding="utf-8")

    def tell(self, kind: str, **facts: Any) -> None:
        """Send a message to every view of this widget."""
        self.send({"type": kind, **facts})

    def __repr__(self) -> str:
        return "Runtime lab (run this cell for the live view; a static copy stands below)"
