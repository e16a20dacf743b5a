"""What can be picked: models, sample requests, templates; and what picking or typing does to the choices."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from workbench import data
from workbench.conversation import Conversation
from workbench.engines import ENGINES, resolve_template
from workbench.engines.template import applied_text
from workbench.errors import WorkbenchError
from workbench.gguf.header import read_header
from workbench.nesting import indented, write_json
from workbench.setup import Setup
from workbench.widgets.choices import FORMAT, VARIANT, Choices, named_templates, of_setup
from workbench.widgets.payload import clean

BY_NAME = ("transformers", "llama.cpp", "llama-server")  # engines that take a template called tool_use for tools
FIRST_REQUEST = "hello"
BEFORE = "before:"
LEAST_REQUEST = '{"messages": [{"role": "user", "content": "Hello"}]}'


@dataclass
class Sources:
    """`models`: paths; `requests`: names with their JSON text; `typed`: the request as the user last typed it.

    `before`: templates that were typed before the one that is edited now, by their number.
    """

    models: tuple[str, ...] = ()
    requests: dict[str, str] = field(default_factory=dict)
    typed: str = ""
    before: dict[str, str] = field(default_factory=dict)

    def options(self, choices: Choices) -> dict[str, list[tuple[str, str]]]:
        """The lists of the controls: value and words of each entry; the templates are those of the chosen model."""
        return {
            "model": [*((path, Path(path).name) for path in self.models), ("", "another file…")],
            "request": [*((name, name) for name in self.requests), ("", "your own")],
            "template": [
                *_own(choices),
                ("file", "a file"),
                ("text", "edited here"),
                *self._typed_before(),
                *_formats(),
            ],
            "engine": _engines(),
            "add_special": [("auto", "as llama-server does"), ("add", "always add"), ("leave", "never add")],
            "until": [("tokens", "tokens"), ("scores", "scores"), ("parsed", "the answer")],
        }

    def applied(self, choices: Choices, changes: Mapping[str, Any]) -> Choices:
        """`choices` with what the user did. What is typed in an editor counts from then on; nothing typed is lost."""
        after = choices.changed(self._as_named(changes))
        if "request_text" in changes:
            if choices.request:  # what was typed before is another request
                self._keep(self.requests, "your own, before, {}", self.typed, after.request_text)
            self.typed = after.request_text
            after = replace(after, request="")
        elif "request" in changes:
            text = self.requests.get(after.request) if after.request else self.typed
            after = replace(after, request_text=text or choices.request_text)
        if "template_text" in changes:
            if choices.template != "text":
                self._keep(self.before, BEFORE + "{}", choices.template_text, after.template_text)
            after = replace(after, template="text")
        elif after.template in self.before:
            self._keep(self.before, BEFORE + "{}", choices.template_text, self.before[after.template])
            after = replace(after, template="text", template_text=self.before[after.template])
        elif after.template == "text" and not after.template_text:
            after = replace(after, template_text=template_text(choices))
        return replace(after, model="") if "model_path" in changes else after

    def _as_named(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Changes with names as they are: the page has them without what JSON cannot carry."""
        real = {clean(name): name for name in (*self.models, *self.requests)}
        return {k: real.get(v, v) if k in ("model", "request") else v for k, v in changes.items()}

    def _typed_before(self) -> list[tuple[str, str]]:
        return [(name, f"edited here before, {name.removeprefix(BEFORE)}") for name in self.before]

    @staticmethod
    def _keep(kept: dict[str, str], name: str, typed: str, now: str) -> None:
        """Keep a text that was typed where another takes its place."""
        if typed and typed != now and typed not in kept.values():
            number = next(n for n in count(1) if name.format(n) not in kept)
            kept[name.format(number)] = typed


def template_text(choices: Choices) -> str:
    """The chat template that applies, "" where there is none or it cannot be read."""
    if choices.template == "text" and choices.template_text:
        return choices.template_text
    try:
        setup = choices.setup()
        template = resolve_template(setup, read_header(setup.model) if setup.model else None)
        tools = choices.conversation().tools if choices.engine in BY_NAME else None
        return applied_text(template, has_tools=tools is not None if choices.engine == "transformers" else bool(tools))
    except WorkbenchError:
        return ""


def start(
    model: str | Path | None,
    request: Conversation | dict[str, Any] | list[Any] | str | Path | None,
    setup: Setup | None,
) -> tuple[Choices, Sources]:
    """The first choices and lists: the demo model and the first sample request where nothing is given.

    Errors: `BadFile` where no model is given and the demo model is not there; `BadRequest` for a bad request.
    """
    base = setup or Setup()
    if model is not None or base.model is None:
        base = base.replace(model=str(model or data.demo_model()))
    samples = {name: path.read_text(encoding="utf-8") for name, path in data.requests().items()}
    models = dict.fromkeys([str(base.model), *_found()])
    sources = Sources(tuple(models), samples)
    if request is None:
        name = FIRST_REQUEST if FIRST_REQUEST in samples else next(iter(samples), "")
        chosen: dict[str, Any] = {"request": name, "request_text": samples.get(name, LEAST_REQUEST)}
    else:
        sources.typed = request_text(Conversation.of(request))
        chosen = {"request": "", "request_text": sources.typed}
    return Choices(base=base, **of_setup(base), **chosen), sources


def request_text(conversation: Conversation) -> str:
    """A request as JSON to edit; escapes only where a lone surrogate could not travel otherwise."""
    text = indented(conversation.data, 2)
    return text if text.isprintable() or _encodes(text) else write_json(conversation.data, indent=2)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _own(choices: Choices) -> list[tuple[str, str]]:
    """The model's own template, and its named variants."""
    names = [name for name, _ in named_templates(choices.model or choices.model_path)]
    return [("model", "the model's own"), *((VARIANT + name, f"the model's own: {name}") for name in names)]


@cache
def _formats() -> tuple[tuple[str, str], ...]:
    """The well-known formats, broken ones behind the others."""
    names = sorted(data.templates(), key=lambda name: (name.startswith("broken/"), name))
    return tuple((FORMAT + name, name.replace("broken/", "broken: ")) for name in names)


@cache
def _engines() -> list[tuple[str, str]]:
    """The template engines, with a word at those that cannot run here."""
    return [
        (engine.name, engine.name if engine.missing() is None else f"{engine.name} (not installed)")
        for engine in ENGINES
    ]


def _found() -> list[str]:
    """The user's models, then the one that is shipped."""
    found: list[Path] = []
    with contextlib.suppress(WorkbenchError):
        found += data.find_models()
    with contextlib.suppress(WorkbenchError):
        found.append(data.toolsmith())
    return [str(path) for path in found]
