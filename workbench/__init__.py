"""GGUF workbench: see every step between a chat request and a local model's answer.

Names load on first use: `import workbench` itself loads neither llama.cpp nor the notebook's libraries.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Conversation": "workbench.conversation",
    "Setup": "workbench.setup",
    "Rendered": "workbench.stages",
    "Span": "workbench.stages",
    "Tokens": "workbench.stages",
    "Scores": "workbench.stages",
    "Generation": "workbench.stages",
    "Parsed": "workbench.stages",
    "Environment": "workbench.environment",
    "Trace": "workbench.trace",
    "trace": "workbench.trace",
    "Renders": "workbench.compare.renders",
    "side_by_side": "workbench.renders",
    "agreement": "workbench.renders",
    "template_steps": "workbench.steps",
    "lens": "workbench.lens",
    "surprises": "workbench.compare.surprises",
    "branch": "workbench.branches",
    "compare_scores": "workbench.compare.scores",
    "score_both": "workbench.lockstep",
    "where_it_begins": "workbench.lockstep",
    "which_tensors": "workbench.groups",
    "noise_floor": "workbench.floor",
    "compare_variants": "workbench.variants",
    "versus": "workbench.versus",
    "sampler_trace": "workbench.sampling.table",
    "presets": "workbench.sampling.presets",
    "compare_chains": "workbench.resample",
    "compare_presets": "workbench.resample",
    "request_settings": "workbench.resample",
    "redraw": "workbench.resample",
    "doctor": "workbench.doctor",
    "Host": "workbench.runtime.host",
    "Header": "workbench.gguf.header",
    "WorkbenchError": "workbench.errors",
    "explore": "workbench.widgets",
    "step_through": "workbench.widgets",
    "strip": "workbench.widgets",
    "quantisation_lab": "workbench.widgets",
    "runtime_lab": "workbench.widgets",
    "browse_vocabulary": "workbench.widgets",
    "try_switches": "workbench.widgets",
}
__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - the names are the keys above, all texts


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps `workbench.trace` the function: whoever imports the module of that name would bind the module here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _HOMES):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
