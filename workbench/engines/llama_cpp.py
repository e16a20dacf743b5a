"""The engine `llama.cpp`: its own C++ template engine, from the WebAssembly module that ggufdoctor ships."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from workbench.engines.base import Job
from workbench.engines.borrow import split, with_origins
from workbench.engines.limits import Sandbox
from workbench.engines.replies import body_of, clock_of, rendered
from workbench.engines.seen import joined, request_seen
from workbench.engines.template import Template
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered, Span

# What llama.cpp takes where a file has no template; it writes ChatML too:
# https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""
FALLBACK = "the file has no chat template: llama.cpp takes ChatML"


@cache
def sandbox() -> Sandbox:
    """The one process in which all templates of this engine render."""
    return Sandbox("workbench.engines.llama_cpp_worker")


@cache
def _version() -> str:
    from importlib import resources
    from importlib.metadata import version

    manifest = json.loads(resources.files("ggufdoctor.engine_data").joinpath("llamacpp-jinja.json").read_text("utf-8"))
    build = f"{manifest['build_tag']} ({manifest['commit'][:8]})"
    return f"llama.cpp {build}; ggufdoctor {version('ggufdoctor')}, wasmtime {version('wasmtime')}"


class LlamaCpp:
    """llama.cpp's template engine, entered as llama.cpp enters it: capability probe, normaliser, its defaults."""

    name = "llama.cpp"

    def missing(self) -> str | None:
        """The extra that brings the module, where it is not installed."""
        return None if find_spec("ggufdoctor") and find_spec("wasmtime") else "pip install 'gguf-workbench[engines]'"

    def version(self) -> str:
        """The build of llama.cpp, and what runs it."""
        return _version()

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        text, notes = choose(job)
        clock = clock_of(job)
        options = {"template": text, "special": dict(job.template.special_tokens), "clock": clock}
        reply = sandbox().render(options, body_of(job), cancel=cancel)
        if reply.plain.get("clock_used"):
            notes.append(_clock_note(reply.plain["clock_can_be_set"], clock, job.clock))
        found = rendered(self, reply, Job(job.conversation, job.template), notes)
        return origins_by(found, job, Template(text, (), job.template.special_tokens), clock, reply.plain, cancel)


def origins_by(
    found: Rendered, job: Job, template: Template, clock: str, facts: dict[str, Any], cancel: Cancel | None
) -> Rendered:
    """`found` with origins, from another engine's run on the request as llama.cpp handed it on."""
    from workbench.conversation import Conversation

    seen = facts.get("seen")
    if seen is None:
        return found if found.error is None else with_origins(found, Job(job.conversation, template, clock, job.track))
    body = job.conversation.data
    try:
        request = Conversation.from_dict(request_seen(body, seen))
    except WorkbenchError:
        return found
    found = with_origins(found, Job(request, template, clock, job.track), cancel=cancel)
    spans = found.spans
    for path, parts in joined(body, seen).items():
        spans = split(spans, path, parts)
    added = {
        f"chat_template_kwargs.{name}": name for name in seen if name not in (body.get("chat_template_kwargs") or {})
    }
    return replace(found, spans=tuple(_own(span, added, body) for span in spans))


def _own(span: Span, added: dict[str, str], body: dict[str, Any]) -> Span:
    """A span of a variable that the engine set by itself, as such."""
    if span.path in added:
        return span._replace(origin="default", path=added[span.path])
    if span.path == "add_generation_prompt" and "add_generation_prompt" not in body:
        return span._replace(origin="default")
    return span


def _clock_note(can_be_set: bool, clock: str, asked: str | None) -> str:
    if not can_be_set:
        return "not evaluated: the time asked for; this module of the engine tells a time of its own"
    return f"strftime_now tells {clock}" + ("" if asked else " (now)")


def choose(job: Job) -> tuple[str, list[str]]:
    """The template that llama.cpp takes for a request, and what there is to say about the choice."""
    named = dict(job.template.named)
    tool_use = named.get("tool_use")
    if tool_use is not None and job.conversation.tools:
        return tool_use, ["the template named tool_use was used, as the request has tools"]
    text = job.template.text or named.get("default") or ""
    if text and text != "chatml":
        return text, []
    if tool_use is not None:
        return tool_use, ["the file has no default template: llama.cpp takes the one named tool_use"]
    return CHATML, [FALLBACK] if not text else []
