"""A chat request in OpenAI's shape as the one that Ollama's templates see."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import count
from typing import Any

from workbench.engines.ollama_tools import tools_read
from workbench.errors import CannotRun
from workbench.nesting import MOST_LEVELS, levels, read_json

LEVELS = ("high", "medium", "low", "max")
EFFORTS: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    **{level: level for level in LEVELS},
    "xhigh": "max",
    "ultra": "max",
}
_IMAGE = re.compile(r"data:(image/(jpeg|jpg|png|webp))?;base64,")
_AUDIO = "input_audio"
_ABOVE = 6  # levels of a request above a call's arguments: body, messages, message, calls, call, function


class TooDeep(CannotRun):
    """Arguments that Ollama would read and that are nested more deeply than a request may be here."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path}.function.arguments is JSON that is nested too deeply",
            f"accepted are {MOST_LEVELS} levels in a whole request",
            "send arguments that are less nested",
        )


def request_of(
    body: dict[str, Any], system: str = "", before: tuple[tuple[str, str], ...] = (), *, go: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """An OpenAI chat request as Ollama's /v1 endpoint hands it on, and what that changes beside its messages, in words.

    `system` and `before` (role and text of messages) are what a Modelfile adds. A message of the request has its path
    as `from`, and `part` where it is one part of a content. `go`: a Go template renders it, not llama.cpp's engine.

    https://github.com/ollama/ollama/blob/b79067b0db7417f20108363bc22adb97f35c966a/openai/openai.go
    Errors: `ValueError` for what it refuses.
    """
    rewrites: list[str] = []
    messages: list[dict[str, Any]] = []
    for index, message in enumerate(body["messages"]):
        found = _message(body["messages"], index, message)
        messages += [{**one, "from": f"messages[{index}]"} for one in found]
    added = [{"role": "system", "content": system}] if system and _begins_without_system(messages) else []
    if before:
        messages = [{"role": role, "content": content} for role, content in before] + messages
        rewrites.append("the Modelfile's messages stand before those of the request")
    if added:
        rewrites.append("the Modelfile's system text is added")
    messages = added + messages
    _mark_images(messages, rewrites, go=go)
    unknown = [name for name in ("chat_template_kwargs", "documents") if body.get(name)]
    rewrites += [f"{name}: Ollama does not know it" for name in unknown]
    if body.get("add_generation_prompt") is False:
        rewrites.append("add_generation_prompt: Ollama does not know it and always asks for an answer")
    tools = body.get("tools") if go else tools_read(body.get("tools"))
    return {"messages": messages, "tools": tools, "think": _think(body)}, rewrites


def _begins_without_system(messages: list[dict[str, Any]]) -> bool:
    return not messages or messages[0]["role"].lower() != "system"


def _mark_images(messages: list[dict[str, Any]], rewrites: list[str], *, go: bool) -> None:
    """Ollama writes a mark for each image (and sound), numbered through the request; llama.cpp's engine gets the image.

    https://github.com/ollama/ollama/blob/b79067b0db7417f20108363bc22adb97f35c966a/server/prompt.go
    """
    numbers = count()
    for message in messages:
        if message.get("images"):
            message["content"] = f"[img-{next(numbers)}]" if go else ""
            does = f"{message['content']} stands in its place" if go else "not evaluated, what llama.cpp writes for it"
            rewrites.append(f"{message['from']}.content[{message['part']}]: {does}")


def _message(every: list[Any], index: int, message: dict[str, Any]) -> list[dict[str, Any]]:
    content, calls = message.get("content"), message.get("tool_calls")
    path = f"messages[{index}]"
    role = _text_or_refuse(message.get("role"), f"{path}.role")
    reasoning = _text_or_refuse(message.get("reasoning"), f"{path}.reasoning")
    more: dict[str, Any] = {"thinking": reasoning, "tool_calls": _calls(calls, path)}
    more["tool_call_id"] = _text_or_refuse(message.get("tool_call_id"), f"{path}.tool_call_id")
    if role.lower() == "tool":
        more["tool_name"] = message.get("name") or _called(every, more["tool_call_id"])
    if isinstance(content, str):
        return [{"role": role, "content": content, **more}]
    if isinstance(content, list):
        found = [{**_part(role, part), "part": number} for number, part in enumerate(content)]
        if found and calls:
            found[-1] |= more
        return found
    kind = "null" if content is None else f"of type {type(content).__name__}"
    if calls is None:
        raise ValueError(f"{path}.content is {kind} and there are no tool calls: Ollama refuses the request")
    return [{"role": role, "content": "", **more}]


def _text_or_refuse(value: Any, path: str) -> str:
    """A field that Ollama reads as a text. Errors: `ValueError`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{path} is no text: Ollama refuses the request")  # noqa: TRY004
    return value


def _part(role: str, part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"role": role, "content": part["text"]}
    if kind == "image_url":
        _check_image(part["image_url"]["url"] if isinstance(part.get("image_url"), dict) else part.get("image_url"))
        return {"role": role, "content": "", "images": [""]}
    sound = part.get(_AUDIO) if kind == _AUDIO else None
    if isinstance(sound, dict) and isinstance(sound.get("data"), str):
        return {"role": role, "content": "", "images": [""]}
    accepted = f"Ollama accepts text, image_url and {_AUDIO} and refuses the request"
    raise ValueError(f"a content part of type {kind!r} that it cannot read: {accepted}")


def _check_image(url: Any) -> None:
    """Errors: `ValueError` for an image that Ollama does not take."""
    if not isinstance(url, str) or not _IMAGE.match(url):
        raise ValueError("an image that is no data: URL of a JPEG, PNG or WebP: Ollama refuses the request")


def _calls(calls: Any, path: str) -> list[dict[str, Any]]:
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise ValueError(f"{path}.tool_calls is no list: Ollama refuses the request")  # noqa: TRY004
    return [_call(call, f"{path}.tool_calls[{index}]") for index, call in enumerate(calls)]


def _call(call: Any, path: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise ValueError(f"{path} is no call of a function: Ollama refuses the request")  # noqa: TRY004
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            rules = {"parse_constant": _no_number, "parse_int": go_whole, "parse_float": go_number}
            arguments = read_json(arguments, **rules)
        except RecursionError as error:
            raise TooDeep(path) from error
        except ValueError as error:
            raise ValueError(f"{path}.function.arguments is no JSON: Ollama refuses the request") from error
    if not isinstance(arguments, dict):
        raise ValueError(f"{path}.function.arguments is no JSON object: Ollama refuses the request")  # noqa: TRY004
    if levels(arguments) > MOST_LEVELS - _ABOVE:
        raise TooDeep(path)
    return {"id": call.get("id") or "", "function": {"name": function.get("name") or "", "arguments": arguments}}


def _no_number(name: str) -> Any:
    """Errors: `ValueError`: Go's JSON knows no NaN and no infinity."""
    raise ValueError(name)


def go_whole(text: str) -> int:
    """A whole number as Go reads it: as a float of 64 bits, and writes again."""
    number = int(text)
    return number if abs(number) <= 1 << 53 else int(Decimal(repr(float(number))))


def go_number(text: str) -> float | int:
    """A number with a point as Go reads it; one that is whole is written without."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _called(messages: list[Any], call_id: str) -> str:
    """The name of the last call with this id."""
    for message in reversed(messages):
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and call_id and call.get("id") == call_id:
                return str((call.get("function") or {}).get("name") or "")
    return ""


def think_field(body: dict[str, Any]) -> str:
    """The field of a request that says how to think; "" for none."""
    if body.get("think") is not None:
        return "think"
    if isinstance(body.get("reasoning"), dict):
        return "reasoning" if body["reasoning"].get("effort") else ""
    return "reasoning_effort" if body.get("reasoning_effort") else ""


def _think(body: dict[str, Any]) -> bool | str | None:
    """`think` as Ollama's own endpoint takes it, else from `reasoning_effort`. Errors: `ValueError`."""
    think: bool | str | None = body.get("think")
    if think is not None:
        if not (isinstance(think, bool) or think in LEVELS):
            raise ValueError(f"think is {think!r}: Ollama accepts true, false, {', '.join(LEVELS)}")
        return think
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else body.get("reasoning_effort")
    if not effort:
        return None
    if not isinstance(effort, str) or effort not in EFFORTS:
        raise ValueError(f"reasoning_effort is {effort!r}: Ollama accepts {', '.join(EFFORTS)}")
    return EFFORTS[effort]
