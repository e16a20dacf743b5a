"""Live views for notebooks, such as `explore()`. All that they show are values that a script can get, too."""

from __future__ import annotations

from workbench.widgets.explorer import TraceExplorer, explore
from workbench.widgets.quantisations import QuantisationLab, quantisation_lab
from workbench.widgets.runtime import RuntimeLab, runtime_lab
from workbench.widgets.stepper import TemplateStepper, step_through
from workbench.widgets.strip import TokenStrip, strip
from workbench.widgets.switches import TokenizerSwitches, try_switches
from workbench.widgets.vocabulary import VocabularyBrowser, browse_vocabulary

__all__ = [
    "QuantisationLab",
    "RuntimeLab",
    "TemplateStepper",
    "TokenStrip",
    "TokenizerSwitches",
    "TraceExplorer",
    "VocabularyBrowser",
    "browse_vocabulary",
    "explore",
    "quantisation_lab",
    "runtime_lab",
    "step_through",
    "strip",
    "try_switches",
]
