"""A chat request as the client sent it: messages, tools, template arguments and everything else in the body."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from workbench.bounded import TooLarge, require_few
from workbench.errors import BadFile, BadRequest
from workbench.nesting import MOST_LEVELS, read_json
from workbench.values import FrozenJSON, Value, clip
from workbench.waiting import opened, read_at_most

MOST_BYTES = 256 << 20  # of a request or text that is read from a file
# Body fields that the workbench gives a meaning; all others are kept and listed as unknown.
TEMPLATE_FIELDS = ("messages", "tools", "documents", "chat_template_kwargs", "add_generation_prompt")
SAMPLING_FIELDS = (
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repeat_penalty",
    "repeat_last_n",
    "max_tokens",
    "max_completion_tokens",
    "n_predict",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "typical_p",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
    "dynatemp_range",
    "dynatemp_exponent",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "adaptive_target",
    "adaptive_decay",
    "min_keep",
    "logit_bias",
    "samplers",
    "grammar",
)
# Fields of the OpenAI body that say nothing about what a model reads or how it is sampled.
TRANSPORT_FIELDS = ("model", "stream", "stream_options", "user", "metadata", "store", "n")


@dataclass(frozen=True)
class Conversation(Value):
    """One chat-completions request body, unchanged; `source` says where it came from and does not count in equality."""

    body: FrozenJSON
    source: str | None = field(default=None, compare=False)

    @classmethod
    def from_dict(cls, body: Any, *, source: str | None = None) -> Conversation:
        """A conversation from a request body (a dict with `messages`).

        Errors: `BadRequest` where the body is no object or has no list of message objects.
        """
        where = f"{source}: " if source else ""
        _check_body(body, where)
        _check_json(body, where)
        return cls(FrozenJSON(body), source)

    @classmethod
    def from_json(cls, text: str, *, source: str | None = None) -> Conversation:
        """A conversation from JSON text. Errors: `BadRequest` with line and column of the first fault."""
        where = source or "the request"
        try:
            require_few(text)
            body = read_json(text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise BadRequest(
                f"{where} is not JSON: {error.msg} at line {error.lineno} column {error.colno}",
                "accepted is an OpenAI chat-completions body",
                'the least one is {"messages": [{"role": "user", "content": "Hello"}]}',
            ) from error
        except TooLarge as error:
            raise BadRequest(f"{where} is too large: {error}", "", "give less") from error
        except ValueError as error:
            raise BadRequest(f"{where} is not JSON: {error}", "accepted are finite numbers") from error
        except RecursionError as error:
            raise _too_deep(where) from error
        return cls.from_dict(body, source=source)

    @classmethod
    def from_file(cls, path: str | Path) -> Conversation:
        """A conversation from a request file (UTF-8, with or without a byte-order mark).

        Errors: `BadFile` where it cannot be read, `BadRequest` where its content is not a request.
        """
        path = Path(path)
        return cls.from_json(read_text(path, "a chat request"), source=str(path))

    @classmethod
    def of(cls, request: Conversation | dict[str, Any] | list[Any] | str | Path) -> Conversation:
        """A conversation from whatever a user has at hand: a body, a list of messages, a file's path."""
        if isinstance(request, Conversation):
            return request
        if isinstance(request, list):
            return cls.from_dict({"messages": request})
        if isinstance(request, dict):
            return cls.from_dict(request)
        if not isinstance(request, str | Path):
            raise BadRequest(
                f"the request is of the type {type(request).__name__}",
                "accepted are a body, a list of messages, or a file's path",
            )
        return cls.from_file(request)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The body as plain JSON types. Read only by agreement: `body` is what counts."""
        value: dict[str, Any] = self.body.value()
        return value

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as sent."""
        messages: list[dict[str, Any]] = self.data["messages"]
        return messages

    @property
    def tools(self) -> list[Any] | None:
        """The tools as sent, None where the request has none."""
        return self.data.get("tools")

    @property
    def documents(self) -> list[Any] | None:
        """The documents as sent, None where the request has none."""
        return self.data.get("documents")

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Extra template variables (`chat_template_kwargs`)."""
        return self.data.get("chat_template_kwargs") or {}

    @property
    def add_generation_prompt(self) -> bool:
        """Whether the prompt ends with the opening of an assistant turn; true where the request does not say."""
        return bool(self.data.get("add_generation_prompt", True))

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling fields that the request itself sets, null ones left out."""
        return {name: self.data[name] for name in SAMPLING_FIELDS if self.data.get(name) is not None}

    @property
    def unknown_fields(self) -> list[str]:
        """Body fields that the workbench keeps but gives no meaning, in the order of the body."""
        known = {*TEMPLATE_FIELDS, *SAMPLING_FIELDS, *TRANSPORT_FIELDS}
        return [name for name in self.data if name not in known]

    def replace(self, **fields: Any) -> Conversation:
        """The same request with body fields replaced."""
        return Conversation.from_dict(self.body.value() | fields, source=self.source)

    def to_dict(self) -> dict[str, Any]:
        """The body itself: `Conversation.from_dict(c.to_dict()) == c`."""
        return dict(self.body.value())

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "index": index,
                "role": message.get("role"),
                "content": message.get("content"),
                "other": {k: v for k, v in message.items() if k not in ("role", "content")},
            }
            for index, message in enumerate(self.messages)
        ]

    def __repr__(self) -> str:
        last = self.messages[-1].get("content") if self.messages else ""
        tools = f", {len(self.tools)} tools" if self.tools else ""
        return f"Conversation({len(self.messages)} messages{tools}, last {clip(repr(last), 60)})"


def read_text(path: Path, what: str, *, keep_mark: bool = False) -> str:
    """A file's text as UTF-8; `keep_mark`: with its byte-order mark. Errors: `BadFile` that names `what` it is."""
    try:
        with opened(path, what) as file:
            return text_of(file, str(path), what, keep_mark=keep_mark)
    except FileNotFoundError as error:
        raise BadFile(f"no file at {path}", f"expected {what}", "check the path") from error
    except IsADirectoryError as error:
        raise BadFile(f"{path} is a directory", f"expected a file with {what}", "name a file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadFile(f"{path} cannot be read: {reason}", f"expected {what}", "check the path") from error


def text_of(file: BinaryIO, name: str, what: str, *, keep_mark: bool = False) -> str:
    """The text of an open file, which may never end. Errors: `BadFile` that names `what` was expected; `OSError`."""
    content = read_at_most(file, name, what, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadFile(f"{name} is longer than {MOST_BYTES >> 20} MiB", f"expected {what}", "give less, or a part of it")
    try:
        return content.decode("utf-8" if keep_mark else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(
            f"{name} is not UTF-8 text (byte {error.start})", f"expected {what} as UTF-8", "convert it"
        ) from error


def _check_body(body: Any, where: str) -> None:
    if not isinstance(body, dict):
        raise BadRequest(f"{where}the request is a JSON {_kind(body)}", 'accepted is an object with a list "messages"')
    if "messages" not in body:
        raise BadRequest(
            f'{where}the request has no "messages"',
            "accepted is a list of message objects",
            'add "messages": [{"role": "user", "content": "Hello"}]',
        )
    messages = body["messages"]
    if not isinstance(messages, list):
        raise BadRequest(f'{where}"messages" is a JSON {_kind(messages)}', "accepted is a list of message objects")
    if not messages:
        raise BadRequest(
            f'{where}"messages" is empty',
            "accepted is a list of at least one message",
            'add {"role": "user", "content": "Hello"}',
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadRequest(
                f"{where}messages[{index}] is a JSON {_kind(message)}",
                'accepted is an object with "role" and "content"',
            )
    _check_optional(body, where)


class _Place(NamedTuple):
    """A value of a request, where it stands, and how deep: the body itself is at 1."""

    value: Any
    key: str | int
    inside: _Place | None
    level: int

    def __str__(self) -> str:
        steps = []
        place: _Place | None = self
        while place is not None and place.inside is not None:
            steps.append(f"[{place.key}]" if isinstance(place.key, int) else f".{place.key}")
            place = place.inside
        return "".join(reversed(steps)).removeprefix(".")


def _check_json(body: Any, where: str) -> None:
    """Refuse what JSON cannot hold and what would not come back as it went in."""
    todo = [_Place(body, "", None, 1)]
    while todo:
        place = todo.pop()
        if place.level > MOST_LEVELS:
            raise _too_deep(f"{where}the request")
        items = place.value.items() if isinstance(place.value, dict) else enumerate(place.value)
        for key, item in items:
            if isinstance(place.value, dict) and not isinstance(key, str):
                raise BadRequest(
                    f"{where}{str(place) or 'the request'} has the key {key!r}", "accepted are texts as keys"
                )
            if isinstance(item, dict | list | tuple):
                todo.append(_Place(item, key, place, place.level + 1))
            elif not isinstance(item, str):
                _check_scalar(_Place(item, key, place, 0), where)


def _check_scalar(place: _Place, where: str) -> None:
    if isinstance(place.value, float) and not math.isfinite(place.value):
        raise BadRequest(
            f"{where}{place} is {place.value}, beyond what a number can hold", "accepted are finite numbers"
        )
    if not isinstance(place.value, int | float | None):
        raise BadRequest(
            f"{where}{place} is a {type(place.value).__name__}",
            "accepted are objects, lists, texts, numbers, true, false and null",
        )


def _too_deep(what: str) -> BadRequest:
    return BadRequest(
        f"{what} is nested too deeply", f"accepted are {MOST_LEVELS} levels of objects and lists in one another"
    )


def _check_optional(body: dict[str, Any], where: str) -> None:
    for name in ("tools", "documents"):
        if body.get(name) is not None and not isinstance(body[name], list):
            raise BadRequest(f'{where}"{name}" is a JSON {_kind(body[name])}', "accepted is a list or null")
    kwargs = body.get("chat_template_kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise BadRequest(f'{where}"chat_template_kwargs" is a JSON {_kind(kwargs)}', "accepted is an object")
    if not isinstance(body.get("add_generation_prompt", True), bool):
        raise BadRequest(
            f'{where}"add_generation_prompt" is a JSON {_kind(body["add_generation_prompt"])}',
            "accepted is true or false",
        )


def _kind(value: Any) -> str:
    names: dict[type, str] = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
