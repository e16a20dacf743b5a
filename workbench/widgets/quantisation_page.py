"""The page's side of the quantisation lab: one widget whose script and style are plain files of this package."""

from __future__ import annotations

from functools import cache
from typing import Any

import anywidget

from workbench.widgets.panes import HERE, styles

SCRIPTS = ("text", "dom", "data", "variant_strips", "quantisations")


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@cache
def sheet() -> str:
    """The explorer's style sheet and what the lab adds to it."""
    return styles() + (HERE / "quantisations.css").read_text(encoding="utf-8")


class QuantisationPage(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """Controls and strips. All traffic is messages; nothing of it is kept in its state."""

    _esm = script()
    _css = sheet()

    def tell(self, kind: str, buffers: list[bytes] | None = None, **told: Any) -> None:
        """Send a message to every view of this widget."""
        self.send({"type": kind, **told}, buffers)

    def __repr__(self) -> str:
        return "Quantisations (run this cell for the live view; a static copy stands below)"
