"""The engine `llama-cpp-python`: the formatter that package chooses for a file, by its own code."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from workbench.engines.base import Job
from workbench.engines.borrow import with_origins
from workbench.engines.limits import Sandbox
from workbench.engines.replies import body_of, clock_note, clock_of, rendered

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered

JINJA = "chat_template.default"


@cache
def sandbox() -> Sandbox:
    """The one process in which all templates of this engine render."""
    return Sandbox("workbench.engines.llama_cpp_python_worker")


@cache
def _version() -> str:
    from importlib.metadata import version

    return f"llama-cpp-python {version('llama-cpp-python')}; jinja2 {version('jinja2')}"


class LlamaCppPython:
    """A format that the package knows by the template's whole text, the file's jinja2, or `llama-2`."""

    name = "llama-cpp-python"

    def missing(self) -> str | None:
        """The package, where it is not installed."""
        return None if find_spec("llama_cpp") else "pip install llama-cpp-python"

    def version(self) -> str:
        """The package's version and its engine's."""
        return _version()

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        from workbench.conversation import Conversation
        from workbench.engines.template import Template

        text = job.template.text
        clock = clock_of(job)
        options = {"template": text, "special": dict(job.template.special_tokens), "clock": clock}
        reply = sandbox().render(options, body_of(job), cancel=cancel)
        found = rendered(self, reply, Job(job.conversation, job.template), clock_note(reply, job, clock))
        chosen = reply.plain.get("format")
        found = replace(
            found, notes=(*_chosen(chosen, bool(text)), *_special(reply.plain.get("adds_special")), *found.notes)
        )
        if chosen != JINJA:
            return found
        body = {name: value for name, value in job.conversation.data.items() if name not in _KEPT_BACK}
        same = Job(Conversation.from_dict(body), Template(text, (), job.template.special_tokens), clock, job.track)
        return with_origins(found, same, cancel=cancel)


_KEPT_BACK = ("chat_template_kwargs", "documents", "add_generation_prompt")


def _chosen(name: str | None, given: bool) -> list[str]:
    if name is None:
        return []
    if name == JINJA:
        return ["the file's own template is rendered"]
    if not given:
        return [f"the file has no chat template: the package's format {name!r} is taken"]
    return [f"the template is known by its text: the package's own format {name!r} is written in its place"]


def _special(adds: bool | None) -> list[str]:
    if adds is None:
        return []
    how = "is added to what is written here" if adds else "is not added: the template has to write it"
    return [f"BOS {how}"]
