"""Live views for notebooks: `explore()`, `step_through()`. All that they show are values that a script can get, too."""

from __future__ import annotations

from workbench.widgets.explorer import TraceExplorer, explore
from workbench.widgets.stepper import TemplateStepper, step_through

__all__ = ["TemplateStepper", "TraceExplorer", "explore", "step_through"]
