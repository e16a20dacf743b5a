"""What the user chose and typed, as text, and what that means: a request and a setup, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.conversation import Conversation
from workbench.data import templates
from workbench.errors import BadRequest, WorkbenchError
from workbench.setup import Sampling, Setup

TEMPLATES = ("model", "file", "text")
FORMAT = "format:"
ADD_SPECIAL = {"auto": "auto", "add": True, "leave": False}
UNTIL = ("tokens", "scores", "parsed")
WHOLE_NUMBERS = ("seed", "top_k", "repeat_last_n", "max_tokens")


@dataclass(frozen=True)
class Choices:
    """Everything that the controls hold, exactly as typed: wrong input stays until the user corrects it.

    `model` and `request` name an entry of the lists (a path, a sample's name), "" for what was typed;
    `template` is one of `TEMPLATES`, or `FORMAT` and the name of a well-known format;
    `base` is the setup that was given, whose other knobs stay.
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
        changes["model"] = str(Path(path.strip()).expanduser())
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

    def _template_source(self) -> str:
        if self.template.startswith(FORMAT):
            name = self.template.removeprefix(FORMAT)
            path = templates().get(name)
            if path is None:
                raise BadRequest(f"there is no format {name!r}", f"accepted are {', '.join(templates())}")
            return f"file:{path}"
        if self.template == "file":
            if not self.template_path.strip():
                raise BadRequest("no template file is named", "accepted is a path", "type it beside the list")
            return "file:" + str(Path(self.template_path.strip()).expanduser())
        return "text:" + self.template_text if self.template == "text" else "model"


PLAIN = tuple(name for name in Choices.__dataclass_fields__ if name not in ("sampling", "base"))
SAMPLING_NAMES = tuple(Sampling.__dataclass_fields__)


def of_setup(setup: Setup) -> dict[str, Any]:
    """The controls' values that stand for `setup`, by name."""
    source = setup.template.source or "model"
    kind, _, rest = source.partition(":")
    effective = setup.effective()
    add = effective["tokenizer"]["add_special"]
    values: dict[str, Any] = {
        "model": setup.model or "",
        "template": kind,
        "engine": effective["template"]["engine"],
        "add_special": next(name for name, meaning in ADD_SPECIAL.items() if meaning is add or meaning == add),
        "parse_special": effective["tokenizer"]["parse_special"],
        "sampling": tuple((name, str(value)) for name, value in setup.to_dict().get("sampling", {}).items()),
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
