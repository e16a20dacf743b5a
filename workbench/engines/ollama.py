"""The engine `ollama`: Go's own text/template with Ollama's values and functions, and its choice of a template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.engines.base import Job
from workbench.engines.limits import Reply, Sandbox
from workbench.engines.llama_cpp import checked
from workbench.engines.ollama_build import GO, HOW, module_path
from workbench.engines.ollama_changes import of_go, of_jinja, of_turns, plain_to_go
from workbench.engines.ollama_request import request_of, think_field
from workbench.engines.replies import clock_note, clock_of, refused, rendered
from workbench.engines.seen import ABSENT, Change, differences, variable_changes, words_of
from workbench.nesting import read_json, write_json

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered, Span

FOLLOWS = "Ollama v0.33.2"
ROLES = ("system", "user", "assistant")
_GO = re.compile(
    r"\{\{-?\s*(?:[.$(]|\w+\s+[.$(\"`]|(?:if|range|with|else|end|define|block|template|json|currentDate|yesterdayDate|/\*)\b)"
)
_COMMAND = re.compile(
    r"^\s*(FROM|TEMPLATE|SYSTEM|MESSAGE|PARAMETER|ADAPTER|LICENSE|RENDERER|PARSER|DRAFT|REQUIRES)\s+", re.IGNORECASE
)


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
        try:
            choice = choose(job.template.text)
            go = choice.template is not None
            body, rewrites = request_of(job.conversation.data, choice.system, choice.messages, go=go)
        except ValueError as error:
            return refused(self, "RequestError", str(error))
        if choice.template is None:
            return self._as_llama_cpp(job, choice.note, body, rewrites, cancel)
        clock = clock_of(job)
        options = {"template": choice.template, "clock": clock, "track": job.track}
        reply = sandbox().render(options, write_json(body).encode(), cancel=cancel)
        notes = [choice.note] if choice.note else []
        seen = _seen_by_go(job.conversation.data, body, reply)
        if seen is None and reply.text is not None:
            notes.append("not evaluated: what Ollama changed in the messages")
        reply.plain["rewrites"] = [] if reply.text is None else [*(seen or ()), *rewrites]
        if reply.plain.get("legacy"):
            notes.append("the template does not mention .Messages: it is executed once for each exchange")
        lost = _lost(job.conversation.data, reply.plain.get("names") or [])
        found = rendered(self, reply, job, [*notes, *lost, *clock_note(reply, job, clock)])
        return _with_origins(found, reply, body, job, choice.template if choice.template == job.template.text else "")

    def _as_llama_cpp(
        self, job: Job, note: str, body: dict[str, Any], rewrites: list[str], cancel: Cancel | None
    ) -> Rendered:
        """Ollama hands a Jinja template that it does not know to llama.cpp's engine, with the request as it read it."""
        from dataclasses import replace

        from workbench.conversation import Conversation
        from workbench.engines.llama_cpp import LlamaCpp

        asked = {"messages": [_openai(message) for message in body["messages"]], "tools": body["tools"]}
        asked |= {"chat_template_kwargs": _thinking(body["think"])}
        found = LlamaCpp().render(replace(job, conversation=Conversation.from_dict(asked)), cancel=cancel)
        seen = _seen_by_jinja(job, body, asked["messages"], found)
        untold = ["not evaluated: what Ollama changed in the messages"] if seen is None and found.text else []
        return replace(
            found,
            spans=tuple(_as_sent(span, found.text or "", body["messages"], job) for span in found.spans),
            engine=self.name,
            version=f"{self.version()}; {found.version}",
            rewrites=(*(found.rewrites if seen is None else seen), *rewrites) if found.text is not None else (),
            notes=(note, *found.notes, *untold),
        )


def _thinking(think: bool | str | None) -> dict[str, Any]:
    """The template's arguments that Ollama makes of `think`.

    https://github.com/ollama/ollama/blob/fb30760996871fa9460115c753afd2c60d4ab0f7/llm/llama_server.go#L2189
    """
    level = {"reasoning_effort": think} if isinstance(think, str) else {}
    return {} if think is None else {"enable_thinking": bool(think), **level}


def _seen_by_jinja(job: Job, sent: dict[str, Any], handed: list[Any], found: Rendered) -> list[str] | None:
    """How what the template saw differs from the request, in words; None where it cannot be told."""
    body = job.conversation.data
    seen = found.request.value() if found.request is not None else None
    messages = of_jinja(sent["messages"], handed, seen["messages"]) if seen is not None else None
    if seen is None or messages is None:
        return None
    kept = {name: seen[name] for name in ("tools", "documents", "add_generation_prompt") if name in seen}
    variables = kept | (seen.get("chat_template_kwargs") or {})
    field = think_field(body)
    changed = []
    for change in variable_changes({"tools": body.get("tools")}, variables, job.template.text):
        given = field and change.path in _thinking(sent["think"])
        words = f"{change.after}, set by the request's {field}"
        same = change.path == field and read_json(change.after or "null") == body.get(field)
        changed += [] if given and same else [change._replace(words=words) if given else change]
    return words_of([*messages.changes(body["messages"]), *changed])


def _seen_by_go(body: dict[str, Any], sent: dict[str, Any], reply: Reply) -> list[str] | None:
    """How what a Go template saw differs from the request, in words; None where it cannot be told."""
    shown = reply.tracked.get("shown")
    if not shown:
        return None
    before, given = plain_to_go(body["messages"]), body.get("tools")
    changed: list[Change] = []
    if reply.plain.get("legacy"):
        messages, tools = of_turns(sent["messages"], shown), None
    else:
        messages, tools = of_go(sent["messages"], shown) or (None, None)
    if messages is None:
        return None
    differences("tools", given or ABSENT, tools or ABSENT, changed)
    field = think_field(body)
    if field and sent["think"] != body.get(field) and field != "reasoning":
        differences(field, body[field], sent["think"], changed)
    return words_of([*messages.changes(before), *changed])


def _with_origins(found: Rendered, reply: Reply, sent: dict[str, Any], job: Job, template: str) -> Rendered:
    """`found` with the origins that the marks of a second run tell."""
    from dataclasses import replace

    from workbench.engines.ollama_origins import spans_of

    marked = reply.tracked.get("marked")
    if not marked or found.text is None:
        why = "origins are unknown: the template could not be followed"
        return replace(found, notes=(*found.notes, why)) if found.text and job.track and not reply.cut else found
    return replace(found, spans=spans_of(marked, found.text, sent, job.conversation.data, template) or found.spans)


def _as_sent(span: Span, text: str, messages: list[Any], job: Job) -> Span:
    """A span of a run on the request as Ollama read it, in terms of the request as it was sent."""
    from workbench.engines.ollama_origins import sourced

    if span.path is None:
        return span
    field = think_field(job.conversation.data)
    thinking = span.path.startswith("chat_template_kwargs.") and field
    named = span._replace(path=field if thinking else sourced(span.path, messages))
    return checked(named, text[span.start : span.end], job.conversation.data)


def _openai(message: dict[str, Any]) -> dict[str, Any]:
    """A message of Ollama's in the shape of a chat-completions request, empty fields left out."""
    named = {"thinking": "reasoning_content", "tool_name": "name"}
    fields = {named.get(name, name): value for name, value in message.items() if name in ("role", "content") or value}
    found = {name: value for name, value in fields.items() if name not in ("images", "from", "part")}
    if "tool_calls" in found:  # llama-server, which Ollama asks, says it of every call
        found["tool_calls"] = [
            {"type": "function", "function": call["function"], **({"id": call["id"]} if call["id"] else {})}
            for call in found["tool_calls"]
        ]
    return found


class Choice(NamedTuple):
    """The Go template (None: Jinja that Ollama leaves to llama.cpp), what a Modelfile adds, what to tell."""

    template: str | None
    system: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    note: str = ""


def choose(text: str) -> Choice:
    """Which Go template Ollama executes where a file or a user has `text`."""
    if is_modelfile(text):
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


@lru_cache(maxsize=64)  # it takes tens of milliseconds, of which an editor has none
def substitute(jinja: str) -> tuple[str, int, str] | None:
    """Name, edit distance and text of the Go template that `ollama create` takes for a Jinja template, None for none.

    By ggufdoctor's copy of Ollama's registry and of its rule: the nearest of 37 known Jinja texts, if nearer than 100.
    """
    from ggufdoctor import ollama

    found = ollama.select(jinja)
    if not found.recognised:
        return None
    return str(found.name), int(found.distance), str(ollama.template_source(found.name))


def is_modelfile(text: str) -> bool:
    """Whether a text is a Modelfile: its first line that says something is a command, and FROM is one of them."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    named = {found[1].upper() for line in lines if (found := _COMMAND.match(line))}
    return bool(lines) and _COMMAND.match(lines[0]) is not None and "FROM" in named


def modelfile(text: str) -> Choice:
    """What a Modelfile says of the prompt. https://docs.ollama.com/modelfile

    Errors: `ValueError` for a value that never ends, or a role that Ollama refuses.
    """
    template, system, notes = None, "", []
    messages: list[tuple[str, str]] = []
    for name, value in commands(text):
        if name == "TEMPLATE":
            template = value
        elif name == "SYSTEM":
            system = value
        elif name == "MESSAGE":
            role, _, said = value.partition("\0")
            if role not in ROLES:
                raise ValueError(f"MESSAGE has the role {role!r}: Ollama accepts {', '.join(ROLES)}")
            messages.append((role, said))
        elif name in ("RENDERER", "PARSER"):
            notes.append(f"not evaluated: the Modelfile's {name}, code of Ollama's own")
    if template is None:
        template = "{{ .Prompt }}"
        notes.insert(
            0, f"the Modelfile has no TEMPLATE: {template} is taken; `ollama create` looks into the model's file"
        )
    else:
        notes.insert(0, "the template is the Modelfile's")
    return Choice(template, system, tuple(messages), "; ".join(notes))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a Modelfile with their values; a message's role stands before a null character.

    A value in quotes goes on over lines until one ends with the same quotes, as in
    https://github.com/ollama/ollama/blob/b79067b0db7417f20108363bc22adb97f35c966a/parser/parser.go
    """
    lines = iter(text.splitlines())
    for line in lines:
        found = _COMMAND.match(line)
        if not found:
            continue
        name, value, role = found[1].upper(), line[found.end() :].strip(), ""
        if name == "MESSAGE":
            role, _, value = value.partition(" ")
            role, value = role + "\0", value.strip()
        quotes = next((q for q in ('"""', '"') if value.startswith(q)), None)
        if quotes is not None:
            value = value[len(quotes) :]
            while not value.rstrip().endswith(quotes):
                more = next(lines, None)
                if more is None:
                    raise ValueError(f"the Modelfile's {name} begins with {quotes} and never ends")
                value += "\n" + more
            value = value.rstrip()[: -len(quotes)]
        yield name, role + value


def _lost(body: dict[str, Any], names: list[str]) -> list[str]:
    """What of the request this template cannot show, as it never mentions it."""
    lost = [("tools", "the tools", bool(body.get("tools")))]
    lost.append(("toolcalls", "the tool calls", any(message.get("tool_calls") for message in body["messages"])))
    return [
        f"the template never mentions {what}: they are not in the prompt"
        for name, what, there in lost
        if there and name not in names
    ]
