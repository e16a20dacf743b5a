"""The engine `ollama`: Go's own text/template with Ollama's values and functions, and its choice of a template."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.engines.base import Job
from workbench.engines.limits import Sandbox
from workbench.engines.ollama_build import GO, HOW, module_path
from workbench.engines.ollama_request import request_of
from workbench.engines.replies import clock_note, clock_of, refused, rendered

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered

FOLLOWS = "Ollama v0.33.2"
_GO = re.compile(
    r"\{\{-?\s*(?:[.$(]|\w+\s+[.$(\"`]|(?:if|range|with|else|end|define|block|template|json|currentDate|yesterdayDate|/\*)\b)"
)
_COMMAND = re.compile(r"^\s*(FROM|TEMPLATE|SYSTEM|MESSAGE|PARAMETER|ADAPTER|LICENSE|RENDERER|PARSER)\s+", re.IGNORECASE)


@cache
def sandbox() -> Sandbox:
    """The one process in which all Go templates render."""
    return Sandbox("workbench.engines.ollama_worker")


class Ollama:
    """A Go template (its text, or a Modelfile), or the one that Ollama would put in place of a Jinja template."""

    name = "ollama"

    def missing(self) -> str | None:
        """What is not there yet: the extra, or the compiled program."""
        if not (find_spec("ggufdoctor") and find_spec("wasmtime")):
            return "pip install 'gguf-workbench[engines]'"
        return None if module_path().exists() else HOW

    def version(self) -> str:
        """Whose rules, and what runs them."""
        return f"rules of {FOLLOWS}; Go {GO} text/template"

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        choice = choose(job.template.text)
        if choice.template is None:
            return self._as_llama_cpp(job, choice.note, cancel)
        clock = clock_of(job)
        try:
            body, rewrites = request_of(job.conversation.data, choice.system, choice.messages)
        except ValueError as error:
            return refused(self, "RequestError", str(error))
        reply = sandbox().render(
            {"template": choice.template, "clock": clock}, json.dumps(body).encode(), cancel=cancel
        )
        reply.plain["rewrites"] = [] if reply.text is None else rewrites
        notes = [choice.note] if choice.note else []
        if reply.plain.get("legacy"):
            notes.append("the template does not mention .Messages: it is executed once for each exchange")
        lost = _lost(job.conversation.data, reply.plain.get("names") or [])
        return rendered(self, reply, job, [*notes, *lost, *clock_note(reply, job, clock)])

    def _as_llama_cpp(self, job: Job, note: str, cancel: Cancel | None) -> Rendered:
        """Ollama hands a Jinja template that it does not know to llama.cpp's engine."""
        from dataclasses import replace

        from workbench.engines.llama_cpp import LlamaCpp

        found = LlamaCpp().render(job, cancel=cancel)
        return replace(
            found, engine=self.name, version=f"{self.version()}; {found.version}", notes=(note, *found.notes)
        )


class Choice(NamedTuple):
    """The Go template (None: Jinja that Ollama leaves to llama.cpp), what a Modelfile adds, what to tell."""

    template: str | None
    system: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    note: str = ""


def choose(text: str) -> Choice:
    """Which Go template Ollama executes where a file or a user has `text`."""
    if any(_COMMAND.match(line) for line in text.splitlines()[:50]) and not text.lstrip().startswith(("{{", "{%")):
        return modelfile(text)
    if is_go(text):
        return Choice(text)
    if not text:
        return Choice("{{ .Prompt }}", note="the file has no chat template: Ollama takes {{ .Prompt }}")
    found = substitute(text)
    if found is None:
        return Choice(
            None, note="Ollama knows no Go template like this one: it renders the Jinja with llama.cpp's engine"
        )
    name, distance, source = found
    note = f"Ollama puts its own Go template {name!r} in place of this Jinja (distance {distance}, below 100)"
    return Choice(source, note=note)


def is_go(text: str) -> bool:
    """Whether a template is written for Go's text/template rather than for Jinja."""
    return "{%" not in text and _GO.search(text) is not None


def substitute(jinja: str) -> tuple[str, int, str] | None:
    """Name, edit distance and text of the Go template that `ollama create` takes for a Jinja template, None for none.

    By ggufdoctor's copy of Ollama's registry and of its rule: the nearest of 37 known Jinja texts, if nearer than 100.
    """
    from ggufdoctor import ollama

    found = ollama.select(jinja)
    if not found.recognised:
        return None
    return str(found.name), int(found.distance), str(ollama.template_source(found.name))


def modelfile(text: str) -> Choice:
    """What a Modelfile says of the prompt. https://docs.ollama.com/modelfile"""
    values: dict[str, list[str]] = {}
    for name, value in re.findall(r'^[ \t]*([A-Za-z]+)[ \t]+("""(?:.|\n)*?"""|"[^"\n]*"|[^\n]*)', text, re.MULTILINE):
        values.setdefault(name.upper(), []).append(_unquoted(value))
    messages = [tuple(message.split(maxsplit=1)) for message in values.get("MESSAGE", ())]
    said = tuple((role, _unquoted(content)) for role, content in (m for m in messages if len(m) == 2))
    system = values.get("SYSTEM", [""])[-1]
    notes = ["the template is the Modelfile's"]
    notes += [
        f"not evaluated: the Modelfile's {name}, code of Ollama's own"
        for name in ("RENDERER", "PARSER")
        if name in values
    ]
    template = values.get("TEMPLATE", ["{{ .Prompt }}"])[-1]
    if "TEMPLATE" not in values:
        notes[0] = (
            "the Modelfile has no TEMPLATE: {{ .Prompt }} is taken; `ollama create` would look into the model's file"
        )
    return Choice(template, system, said, "; ".join(notes))


def _unquoted(text: str) -> str:
    text = text.strip()
    for quotes in ('"""', '"'):
        if len(text) >= 2 * len(quotes) and text.startswith(quotes) and text.endswith(quotes):
            return text[len(quotes) : -len(quotes)]
    return text


def _lost(body: dict[str, Any], names: list[str]) -> list[str]:
    """What of the request this template cannot show, as it never mentions it."""
    lost = [("tools", "the tools", bool(body.get("tools")))]
    lost.append(("toolcalls", "the tool calls", any(message.get("tool_calls") for message in body["messages"])))
    return [
        f"the template never mentions {what}: they are not in the prompt"
        for name, what, there in lost
        if there and name not in names
    ]
