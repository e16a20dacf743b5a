"""Messages to text: one file for each template engine, `ENGINES` the only list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engines.base import Engine, Job
from workbench.engines.llama_cpp import LlamaCpp
from workbench.engines.llama_cpp_legacy import LlamaCppLegacy
from workbench.engines.llama_cpp_python import LlamaCppPython
from workbench.engines.llama_server import LlamaServer
from workbench.engines.ollama import Ollama
from workbench.engines.replies import faulty
from workbench.engines.template import Template, require_template, resolve_template
from workbench.engines.transformers import Transformers
from workbench.errors import CannotRun, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench.conversation import Conversation
    from workbench.progress import Cancel
    from workbench.stages import Rendered

ENGINES: tuple[Engine, ...] = (Transformers(), LlamaCpp(), LlamaCppLegacy(), LlamaCppPython(), LlamaServer(), Ollama())


def engine_named(name: str) -> Engine:
    """The engine of that name. Errors: `CannotRun` where there is none, or it is not installed."""
    engine = next((engine for engine in ENGINES if engine.name == name), None)
    if engine is None:
        accepted = ", ".join(engine.name for engine in ENGINES)
        raise CannotRun(f"there is no template engine {name!r}", f"available: {accepted}", "choose one of them")
    missing = engine.missing()
    if missing is not None:
        raise CannotRun(f"the template engine {name!r} is not installed", "", f"install it: {missing}")
    return engine


def render(
    conversation: Conversation,
    template: Template,
    *,
    engine: str = "transformers",
    clock: str | None = None,
    track: bool = True,
    tell: bool = True,
    on_text: Callable[[str], None] | None = None,
    cancel: Cancel | None = None,
) -> Rendered:
    """The prompt that `engine` writes for `conversation`, or the template's error as data.

    `clock` is an ISO time, None for now; `track` asks for spans and events, `tell` for what an engine changed in the
    request where that takes as long again; `on_text` is called with the text where an engine has it before its
    origins. Never raises for what a template does, nor for a fault of the workbench in one engine, which is an error
    that says so. Errors: `CannotRun` for an engine that cannot run, `BadRequest` for a clock that is no time,
    `Cancelled`.
    """
    found = engine_named(engine)
    try:
        return found.render(Job(conversation, template, clock, track, on_text, tell), cancel=cancel)
    except WorkbenchError:
        raise
    except Exception as fault:  # noqa: BLE001  it is named in the result, and the other engines' results stay
        return faulty(found, fault)


__all__ = ["ENGINES", "Engine", "Job", "Template", "engine_named", "render", "require_template", "resolve_template"]
