"""What the user chose and typed, as text, and what that means: a request and a setup, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.conversation import Conversation
from workbench.data import templates
from workbench.errors import BadRequest, WorkbenchError
from workbench.gguf.header import read_header
from workbench.setup import Setup

TEMPLATES = ("model", "file", "text")
PANELS = ("", "reach", "engines", "surprises", "samplers", "lens", "branches")
FORMAT = "format:"
VARIANT = "variant:"
ADD_SPECIAL = {"auto": "auto", "add": True, "leave": False}
UNTIL = ("tokens", "scores", "parsed")
WHOLE_NUMBERS = ("seed", "top_k", "repeat_last_n", "max_tokens")


@dataclass(frozen=True)
class Choices:
    """Everything that the controls hold, exactly as typed: wrong input stays until the user corrects it.

    `model` and `request` name an entry of the lists (a path, a sample's name), "" for what was typed;
    `template` is one of `TEMPLATES`, `FORMAT` and the name of a well-known format, or `VARIANT` and the name of one
    of the model's own templates;
    `panel`, one of `PANELS`, is what is shown below the stages. `base` is the setup that was given, whose other knobs
    stay.
    """

    model: str = ""
    model_path: str = ""
    request: str = ""
    request_text: str = ""
    template: str = "model"
    template_path: str = ""
    template_text: str = ""
    engine: str = "transformers"
    add_special: str = "auto"
    parse_special: bool = True
    until: str = "parsed"
    panel: str = ""
    sampling: tuple[tuple[str, str], ...] = ()
    base: Setup = field(default_factory=Setup)

    def changed(self, changes: Mapping[str, Any]) -> Choices:
        """With what the page sent; a sampling field goes by its own name. Errors: `BadRequest` for an unknown name."""
        own = {name: value for name, value in changes.items() if name in PLAIN}
        numbers = {name: str(value) for name, value in changes.items() if name in SAMPLING_NAMES}
        unknown = [name for name in changes if name not in own and name not in numbers]
        if unknown:
            raise BadRequest(f"the page sent {', '.join(unknown)}", f"accepted are {', '.join(PLAIN)}")
        return replace(self, **own, sampling=tuple((dict(self.sampling) | numbers).items()))

    def conversation(self) -> Conversation:
        """The request as typed. Errors: `BadRequest` with line and column."""
        return Conversation.from_json(self.request_text)

    def setup(self) -> Setup:
        """The setup that the controls stand for. Errors: `BadRequest`."""
        path = self.model or self.model_path
        if not path.strip():
            raise BadRequest("no model is chosen", "accepted is a GGUF file's path", "pick one or type its path")
        changes: dict[str, Any] = {
            "template.source": self._template_source(),
            "template.engine": self.engine,
            "tokenizer.add_special": ADD_SPECIAL[self.add_special],
            "tokenizer.parse_special": bool(self.parse_special),
        }
        # What is as it would be anyway stays unset: the setup says only what somebody decided.
        applies = self.base.flat()
        changes = {name: value for name, value in changes.items() if applies[name] != value}
        changes["model"] = str(expanded(path))
        changes |= {f"sampling.{name}": _number(name, text) for name, text in self.sampling}
        return self.base.replace(**changes)

    def read(self) -> tuple[Conversation | None, Setup | None, dict[str, str]]:
        """Request and setup, None where they cannot be read, and what is wrong by place ("request", "settings")."""
        errors: dict[str, str] = {}

        def attempt(place: str, read: Callable[[], Any]) -> Any:
            try:
                return read()
            except WorkbenchError as error:
                errors[place] = str(error)

        conversation = attempt("request", self.conversation)
        return conversation, attempt("settings", self.setup), errors

    def _variant(self, name: str) -> str:
        """The text of one of the model's named templates. Errors: `BadRequest` where it has none of that name."""
        named = dict(read_header(str(expanded(self.model or self.model_path))).named_templates)
        if name not in named:
            names = ", ".join(named) or "none"
            raise BadRequest(f"the model has no template called {name!r}", f"accepted are those of the model: {names}")
        return named[name]

    def _template_source(self) -> str:
        if self.template.startswith(FORMAT):
            name = self.template.removeprefix(FORMAT)
            path = templates().get(name)
            if path is None:
                raise BadRequest(f"there is no format {name!r}", f"accepted are {', '.join(templates())}")
            return f"file:{path}"
        if self.template.startswith(VARIANT):
            return "text:" + self._variant(self.template.removeprefix(VARIANT))
        if self.template == "file":
            if not self.template_path.strip():
                raise BadRequest("no template file is named", "accepted is a path", "type it beside the list")
            return "file:" + str(expanded(self.template_path))
        return "text:" + self.template_text if self.template == "text" else "model"


def named_templates(path: str) -> tuple[tuple[str, str], ...]:
    """Names and texts of the templates that a model has beside its default one, none where it cannot be read."""
    try:
        file = expanded(path)
        return _named(str(file), file.stat().st_mtime_ns)
    except (OSError, ValueError, WorkbenchError):
        return ()


def expanded(path: str) -> Path:
    """A path as typed, `~` put in full. Errors: `BadRequest` for a user that there is not."""
    try:
        return Path(path.strip()).expanduser()
    except RuntimeError as error:
        raise BadRequest(f"{path.strip()} names a home folder that there is not", "accepted is a path") from error


@lru_cache(maxsize=8)
def _named(path: str, _changed: int) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(read_header(path).named_templates)
    except WorkbenchError:
        return ()


PLAIN = tuple(name for name in Choices.__dataclass_fields__ if name not in ("sampling", "base"))
# Those with an input of their own; a setup's other sampling keys stay as they are in `base`.
SAMPLING_NAMES = (
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repeat_penalty",
    "repeat_last_n",
    "max_tokens",
)


def of_setup(setup: Setup) -> dict[str, Any]:
    """The controls' values that stand for `setup`, by name."""
    source = setup.template.source or "model"
    kind, _, rest = source.partition(":")
    effective = setup.effective()
    add = effective["tokenizer"]["add_special"]
    sampling = setup.to_dict().get("sampling", {})
    values: dict[str, Any] = {
        "model": setup.model or "",
        "template": kind,
        "engine": effective["template"]["engine"],
        "add_special": next(name for name, meaning in ADD_SPECIAL.items() if meaning is add or meaning == add),
        "parse_special": effective["tokenizer"]["parse_special"],
        "sampling": tuple((name, str(sampling[name])) for name in SAMPLING_NAMES if name in sampling),
    }
    typed = {"file": {"template_path": rest}, "text": {"template_text": rest}}
    return values | typed.get(kind, {})


def _number(name: str, text: str) -> int | float | None:
    """What was typed into a number's field, None for nothing. Errors: `BadRequest`."""
    if not text.strip():
        return None
    try:
        number = float(text)
        return int(number) if name in WHOLE_NUMBERS and number == int(number) else number
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{name.replace('_', '-')} is {text!r}", "accepted is a number") from error
