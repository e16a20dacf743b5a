"""The engine `llama.cpp`: its own C++ template engine, from the WebAssembly module that ggufdoctor ships."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from workbench.engines.base import Job
from workbench.engines.borrow import split, with_origins
from workbench.engines.limits import Sandbox
from workbench.engines.replies import body_of, clock_of, rendered

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered

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
        return None if find_spec("ggufdoctor") and find_spec("wasmtime") else "'gguf-workbench[engines]'"

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
        return self._with_origins(found, job, text, clock, reply.plain.get("caps") or {}, cancel)

    def _with_origins(
        self, found: Rendered, job: Job, text: str, clock: str, caps: dict[str, Any], cancel: Cancel | None
    ) -> Rendered:
        from dataclasses import replace

        from workbench.conversation import Conversation
        from workbench.engines.template import Template

        body, joined = changed_request(job.conversation.data, caps)
        same = Job(Conversation.from_dict(body), Template(text, (), job.template.special_tokens), clock, job.track)
        found = with_origins(found, same, cancel=cancel)
        spans = found.spans
        for path, parts in joined.items():
            spans = split(spans, path, parts)
        return replace(found, spans=spans)


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


def changed_request(body: dict[str, Any], caps: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request as llama.cpp hands it to the template, for another engine.

    Also, for each content that was joined from parts: where each begins, and its path.
    """
    only_text = caps.get("supports_string_content", True) and not caps.get("supports_typed_content")
    only_typed = caps.get("supports_typed_content") and not caps.get("supports_string_content")
    joined: dict[str, Any] = {}
    messages = []
    for index, message in enumerate(body["messages"]):
        content: Any = message.get("content")
        if content is None:
            content = ""
        if isinstance(content, list) and only_text:
            content, joined[f"messages[{index}].content"] = _join(content, f"messages[{index}].content")
        elif isinstance(content, str) and only_typed:
            content = [{"type": "text", "text": content}]
        messages.append({**message, "content": content})
    kwargs = {"enable_thinking": True, "preserve_thinking": True} | dict.fromkeys(
        ("clear_thinking", "truncate_history_thinking", "drop_thinking"), False
    )
    changed = {**body, "messages": messages, "chat_template_kwargs": kwargs | (body.get("chat_template_kwargs") or {})}
    if not body.get("tools"):
        changed.pop("tools", None)
    changed.pop("documents", None)
    return changed, joined


def _join(parts: list[Any], path: str) -> tuple[str, list[tuple[int, str | None]]]:
    text = ""
    found: list[tuple[int, str | None]] = []
    for index, part in enumerate(parts):
        if not isinstance(part, dict) or part.get("type") != "text":
            continue
        if text:
            found.append((len(text), None))
            text += "\n"
        found.append((len(text), f"{path}[{index}].text"))
        text += str(part.get("text", ""))
    return text, found
