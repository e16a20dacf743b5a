"""GGUF workbench: see every step between a chat request and a local model's answer.

Names load on first use: `import workbench` itself loads neither llama.cpp nor the notebook's libraries.
"""

from __future__ import annotations

from importlib import import_module
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
    "Host": "workbench.runtime.host",
    "Header": "workbench.gguf.header",
    "WorkbenchError": "workbench.errors",
    "explore": "workbench.widgets",
    "step_through": "workbench.widgets",
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
