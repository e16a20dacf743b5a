"""The engine `llama-server`: llama.cpp's own server, which rewrites requests before its template sees them."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from workbench.engines.base import Job
from workbench.engines.limits import Reply, Sandbox
from workbench.engines.llama_cpp import all_told, choose, origins_by
from workbench.engines.replies import body_of, clock_of, rendered
from workbench.engines.seen import showing
from workbench.engines.template import TEMPLATE_KEY, Template

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.gguf.header import Header
    from workbench.progress import Cancel
    from workbench.stages import Rendered, Span

URL = "WORKBENCH_LLAMA_SERVER"  # the address of a running llama-server, http://127.0.0.1:8080 for example
_UNUSED = 5  # a type of token that llama.cpp writes as nothing
_DATES = (("date_string", "%d %b %Y"), ("datetime", "%b %d %Y"))


@cache
def sandbox() -> Sandbox:
    """The one process in which the servers run."""
    return Sandbox("workbench.engines.llama_server_worker")


class LlamaServer:
    """A server of our own with a tiny model that has the setup's tokens and flags; or a running one by `URL`."""

    name = "llama-server"

    def missing(self) -> str | None:
        """The extra that brings the server, where it is not installed and none is named."""
        return None if os.environ.get(URL) or find_spec("xllamacpp") else "pip install 'gguf-workbench[servers]'"

    def version(self) -> str:
        """What runs; xllamacpp does not tell which build of llama.cpp it carries."""
        if address := os.environ.get(URL):
            return f"the server at {address}"
        from importlib.metadata import version

        return f"llama-server of xllamacpp {version('xllamacpp')}, unknown build"

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the server's refusal as data. Errors: `Cancelled`, `CannotRun`."""
        from datetime import datetime

        text, notes = choose(job)
        clock = clock_of(job)
        more = _dates(job, text, clock)
        address = os.environ.get(URL)
        if address:
            reply = _from(address, job.conversation.data, more, text, notes)
        else:
            override = "" if job.template.own else text
            model = str(_model(job.template))
            telling = str(_model(_showing(job.template))) if job.template.own else model
            options: dict[str, Any] = {"override": override, "template": text, "model": model, "more": more}
            options["tell"] = job.tell
            options["showing"] = {"override": "" if job.template.own else showing(text), "model": telling}
            reply = all_told(sandbox().render(options, body_of(job), cancel=cancel), notes)
        if reply.text is not None and "seen" not in reply.plain and not reply.cut and not address and job.tell:
            notes.append("not evaluated: what the server rewrote in the request")
        if job.template.adds_bos:
            notes.append("the file asks for BOS: where the template writes it too, the server takes it off again")
        if job.clock and "strftime_now" in text:
            notes.append("not evaluated: another time; strftime_now tells the server's own, whatever is asked for")
        found = rendered(self, reply, Job(job.conversation, job.template), notes)
        told = datetime.now().isoformat() if "strftime_now" in text else clock  # noqa: DTZ005  the server's own time
        found = origins_by(found, job, Template(text, (), job.template.special_tokens), told, reply.plain, cancel)
        return replace(found, spans=prefilled(found, job.conversation.data["messages"], reply.plain.get("seen")))


def _from(address: str, body: dict[str, Any], more: dict[str, str], text: str, notes: list[str]) -> Reply:
    """The answer of a running server, which renders with its own template."""
    from workbench.engines.llama_server_http import apply, with_arguments

    prompt, facts = apply(address.rstrip("/"), with_arguments(body, more))
    own = facts.get("chat_template")
    if own is not None and own != text:
        notes.append("the server renders with its own template, which is not this one")
    notes.append("not evaluated: what this server rewrote, and where its characters are from")
    notes.append(f"build of the server: {facts.get('build_info') or 'unknown'}")
    return Reply(prompt, {"rewrites": [], **facts}, {})


def prefilled(found: Rendered, messages: list[Any], seen: dict[str, Any] | None) -> tuple[Span, ...]:
    """The spans; an assistant's last message that the server took off is what it wrote behind the template's text.

    https://github.com/ggml-org/llama.cpp/blob/aa6192d38defc9a5d9fb2987413f71b18f214270/tools/server/server-common.cpp
    """
    from workbench.stages import Span

    spans, last = found.spans, messages[-1]
    content = last.get("content")
    taken_off = seen is not None and len(seen["messages"]) == len(messages) - 1 and last.get("role") == "assistant"
    if not (taken_off and isinstance(content, str) and content and (found.text or "").endswith(content)):
        return spans
    *before, end = spans
    start = end.end - len(content)
    if end.origin != "unknown" or start < end.start:
        return spans
    own = Span(start, end.end, "message", f"messages[{len(messages) - 1}].content", None, None, True, 0)
    return (*before, *([end._replace(end=start)] if start > end.start else []), own)


def _showing(template: Template) -> Template:
    """The model's own templates, each printing its variables where it is asked to."""
    named = tuple((name, showing(text) if text else text) for name, text in template.named)
    return replace(template, text=showing(template.text) if template.text else "", named=named)


def _dates(job: Job, text: str, clock: str) -> dict[str, str]:
    """The dates that the server would tell at the time asked for, where one is and the template uses them."""
    from datetime import datetime

    now = datetime.fromisoformat(clock)
    return {name: now.strftime(form) for name, form in _DATES if job.clock and name in text}


@cache  # a process reads each array
def _vocabulary(path: str) -> tuple[Header, tuple[str, ...], tuple[int, ...]]:
    """The header of the packaged model, the texts and the types of its tokens."""
    from workbench.gguf.header import read_header

    header = read_header(path)
    return header, tuple(header.array("tokenizer.ggml.tokens")), tuple(header.array("tokenizer.ggml.token_type"))


def _model(template: Template) -> Path:
    """The model that the server loads: a tiny one that has the setup's special tokens, flags and own templates.

    Rendering needs no weights, and a model of many gigabytes would take longer to load than a render may take.
    """
    from workbench.data import toolsmith
    from workbench.gguf.altered import altered_copy

    header, *vocabulary = _vocabulary(str(toolsmith()))
    special = dict(template.special_tokens)
    tokens, types = map(list, vocabulary)
    for name in ("bos", "eos"):
        index = header.get(f"tokenizer.ggml.{name}_token_id")
        text = special.get(f"{name}_token")
        tokens[index] = text or f"<|no {name}|>"
        types[index] = types[index] if text else _UNUSED
    changes: dict[str, Any] = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    changes["tokenizer.ggml.add_bos_token"] = template.adds_bos
    changes["tokenizer.ggml.add_eos_token"] = template.adds_eos
    if template.own:
        changes |= dict.fromkeys(f"{TEMPLATE_KEY}.{name}" for name, _ in header.named_templates)
        changes |= {TEMPLATE_KEY: template.text or None}
        changes |= {f"{TEMPLATE_KEY}.{name}": text for name, text in template.named}
    return altered_copy(header, changes)
