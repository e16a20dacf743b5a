"""The engine `llama.cpp-legacy`: `llama_chat_apply_template`, the formats built into llama.cpp, chosen by pattern."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from workbench.engines.base import Job
from workbench.engines.limits import Sandbox
from workbench.engines.llama_cpp import told
from workbench.engines.replies import body_of, rendered

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered


@cache
def sandbox() -> Sandbox:
    """The one process that calls the library."""
    return Sandbox("workbench.engines.legacy_worker")


@cache
def _version() -> str:
    from importlib.metadata import version

    return f"llama_chat_apply_template of llama-cpp-python {version('llama-cpp-python')}'s llama.cpp"


class LlamaCppLegacy:
    """No template engine: the template's text only decides which built-in format is written."""

    name = "llama.cpp-legacy"

    def missing(self) -> str | None:
        """llama-cpp-python, where it is not installed."""
        return None if find_spec("llama_cpp") else "pip install llama-cpp-python"

    def version(self) -> str:
        """Whose library it is."""
        return _version()

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the refusal as data. Errors: `Cancelled`, `CannotRun`."""
        text = job.template.text or dict(job.template.named).get("default") or None
        reply = sandbox().render({"template": text, "track": job.track}, body_of(job), cancel=cancel)
        notes = [] if text else ["the file has no chat template: ChatML is taken"]
        names = reply.plain.get("names") or []
        if names:
            notes.append(f"the built-in format {' or '.join(repr(name) for name in names)} is written" + _alike(names))
        evidence = reply.tracked.get("evidence") or []
        if evidence and text:
            parts = ", ".join(f"{piece!r} in line {text.count(chr(10), 0, at) + 1}" for at, piece in evidence)
            notes.append(f"chosen because the template contains {parts}; these alone give the same choice")
        found = rendered(self, reply, job, notes)
        return replace(found, spans=tuple(told(found, job.conversation.data, {"messages": job.conversation.messages})))


def _alike(names: list[str]) -> str:
    return "" if len(names) == 1 else " (they write a plain conversation alike)"
