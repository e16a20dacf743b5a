"""Live views for notebooks: start with `explore()`. All that they show are values that a script can get, too."""

from __future__ import annotations

from workbench.widgets.explorer import TraceExplorer, explore

__all__ = ["TraceExplorer", "explore"]
