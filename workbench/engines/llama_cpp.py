"""The engine `llama.cpp`: its own C++ template engine, from the WebAssembly module that ggufdoctor ships."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from workbench.engines.base import Job
from workbench.engines.borrow import split, with_origins
from workbench.engines.limits import Reply, Sandbox
from workbench.engines.replies import body_of, clock_of, rendered
from workbench.engines.seen import Parts, origins_of, request_seen, shift_of
from workbench.engines.template import Template
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Origin, Rendered, Span

# What llama.cpp takes where a file has no template; it writes ChatML too:
# https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
CHATML = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""
_INDEX = re.compile(r"messages\[(\d+)\]")
_STEP = re.compile(r"([A-Za-z_$][\w$-]*)|\[(\d+)\]")
UNSEEN = "not evaluated: what the engine changed in the request, and where the characters are from: it does not tell"
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
        reply = all_told(sandbox().render(options, body_of(job), cancel=cancel), notes)
        if reply.text is not None and "seen" not in reply.plain and not reply.cut:
            notes.append(UNSEEN)
        if reply.plain.get("clock_used"):
            notes.append(_clock_note(reply.plain["clock_can_be_set"], clock, job.clock))
        found = rendered(self, reply, Job(job.conversation, job.template), notes)
        return origins_by(found, job, Template(text, (), job.template.special_tokens), clock, reply.plain, cancel)


def all_told(reply: Reply, notes: list[str]) -> Reply:
    """A reply with what the engine handed on among its facts: told behind the text, which it must not cost."""
    if reply.cut and reply.text is not None:
        notes.append("not evaluated: what the engine changed in the request")
    notes += [reply.tracked["note"]] if "note" in reply.tracked else []
    return reply._replace(plain=reply.plain | reply.tracked, tracked={})


def origins_by(
    found: Rendered, job: Job, template: Template, clock: str, facts: dict[str, Any], cancel: Cancel | None
) -> Rendered:
    """`found` with origins, from another engine's run on the request as llama.cpp handed it on."""
    from workbench.conversation import Conversation

    seen = facts.get("seen")
    if seen is None:
        again = Job(job.conversation, template, clock, job.track)
        return found if found.error is None else with_origins(found, again, cancel=cancel)
    body = job.conversation.data
    try:
        request = Conversation.from_dict(request_seen(body, seen))
    except WorkbenchError:
        return found
    found = replace(found, request=request.body)
    found = with_origins(found, Job(request, template, clock, job.track), cancel=cancel)
    return replace(found, spans=tuple(told(found, body, seen)))


def told(found: Rendered, body: dict[str, Any], seen: dict[str, Any]) -> list[Span]:
    """The spans of a run on the rewritten request, in terms of the request itself.

    A message that cannot be told apart is unknown; what the engine set by itself is its default; and a span is
    verbatim only where the request really has that text there.
    """
    parts, shift = origins_of(body, seen), shift_of(body["messages"], seen["messages"])
    given = body.get("chat_template_kwargs") or {}
    added = {f"chat_template_kwargs.{name}": name for name in seen if name not in given}
    placed: list[Span] = []
    for span in found.spans:
        if span.path in added:
            name = added[span.path]
            own = body.get(name) is not None and body[name] == seen[name]
            placed.append(span._replace(path=name) if own else span._replace(origin="default", path=name))
        elif span.path == "add_generation_prompt" and "add_generation_prompt" not in body:
            placed.append(span._replace(origin="default"))
        elif span.path is not None and span.path.startswith("messages["):
            placed += _of_message(span, parts, shift)
        else:
            placed.append(span)
    return [checked(span, (found.text or "")[span.start : span.end], body) for span in placed]


def _of_message(span: Span, parts: dict[str, Parts] | None, shift: int | None) -> list[Span]:
    assert span.path is not None
    if parts is None or shift is None:
        return [span._replace(origin="unknown", path=None, offset=None, verbatim=False)]
    if span.path in parts:
        return list(split((span,), span.path, parts[span.path]))
    index, rest = _INDEX.match(span.path), span.path.partition("]")[2]
    return [span._replace(path=f"messages[{int(index[1]) + shift}]{rest}")] if index and shift else [span]


def checked(span: Span, text: str, body: dict[str, Any]) -> Span:
    """A span that claims a verbatim text which the request does not have there claims it no longer."""
    if not span.verbatim or span.offset is None or span.origin not in ("message", "tool") or span.path is None:
        return span
    value = value_at(body, span.path)
    if isinstance(value, str) and value[span.offset : span.offset + len(text)] == text:
        return span
    origin: Origin = "default" if value is None and not _in_a_text(body, span.path) else span.origin
    return span._replace(origin=origin, verbatim=False, offset=None)


def _in_a_text(body: Any, path: str) -> bool:
    """Whether a path leads into a text: arguments that were sent as one."""
    ends = [step.start() for step in _STEP.finditer(path)]
    return any(isinstance(value_at(body, path[:end].rstrip(".")), str) for end in ends if end)


def value_at(body: Any, path: str) -> Any:
    """What stands at a path of a request, None for nothing."""
    for name, index in _STEP.findall(path):
        try:
            body = body[int(index)] if index else body[name]
        except (KeyError, IndexError, TypeError):
            return None
    return body


def _clock_note(can_be_set: bool, clock: str, asked: str | None) -> str:
    if not can_be_set:
        return "not evaluated: the time asked for; this module of the engine tells a time of its own"
    return f"strftime_now tells {clock}" + ("" if asked else " (now)")


def choose(job: Job) -> tuple[str, list[str]]:
    """The template that llama.cpp takes for a request, and what there is to say about the choice.

    An empty one named `tool_use` is none to it, as in
    https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
    """
    named = dict(job.template.named)
    tool_use = named.get("tool_use")
    if tool_use and job.conversation.tools:
        return tool_use, ["the template named tool_use was used, as the request has tools"]
    notes = ["the template named tool_use is empty: llama.cpp takes it for none"] if tool_use == "" else []
    text = job.template.text or named.get("default") or ""
    if text and text != "chatml":
        return text, notes
    if tool_use:
        return tool_use, ["the file has no default template: llama.cpp takes the one named tool_use"]
    return CHATML, notes + ([FALLBACK] if not text else [])
