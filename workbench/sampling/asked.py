"""What a request asks of the samplers: its fields by the settings' names, its stop texts, its biases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.values import clip

MOST_FLOAT = 3.4028234e38  # llama.cpp's settings are 32-bit floats
STOP = "stop"
# The fields that set max_tokens: the first one that is there counts.
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/server/server-schema.cpp#L50
LENGTHS = ("n_predict", "max_completion_tokens", "max_tokens")
BIASES = 'accepted is {"TOKEN ID": number, ...}, with false for a token that must never come'
ID_DIGITS = 10  # of the largest id that 32 bits hold


class Asked(NamedTuple):
    """`settings` by the names of `Sampling`, `fields`: the request's own name of each, `stop`: what it says of that."""

    settings: dict[str, Any]
    fields: dict[str, str]
    stop: Any


def asked(given: Mapping[str, Any]) -> Asked:
    """A request's sampling fields by the settings that they set; of several names of one setting the first counts."""
    settings, names = {}, {}
    for field in (*LENGTHS, *(name for name in given if name not in LENGTHS)):
        name = LENGTHS[-1] if field in LENGTHS else field
        if field in given and name not in settings and field != STOP:
            settings[name], names[name] = given[field], field
    return Asked(settings, names, given.get(STOP, []))


def stops(stop: Any, where: str) -> list[str]:
    """The stop texts. Errors: `BadRequest` that names the item which is none."""
    listed = [stop] if isinstance(stop, str) else stop
    if not isinstance(listed, list):
        raise BadRequest(f'{where}"stop" is {shown(stop)}', "accepted is a text or a list of texts")
    for index, item in enumerate(listed):
        name = '"stop"' if isinstance(stop, str) else f'"stop"[{index}]'
        if item == "":
            raise BadRequest(
                f"{where}{name} is an empty text, which is no stop: every answer contains it",
                "accepted are texts of at least one character",
                "leave it out",
            )
        if not isinstance(item, str):
            raise BadRequest(f"{where}{name} is {shown(item)}", "accepted is a text or a list of texts")
    return listed


def biases(dotted: str, value: Any, where: str) -> dict[str, Any]:
    """Token ids, as decimal digits, with what is added to their logit; false bans the token. Errors: `BadRequest`.

    llama-server also takes a list of pairs, and a text in place of an id, whose every token it biases; here ids are
    asked for, so that it can be seen which tokens are meant, and a value that it would pass over is refused.
    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/server/server-schema.cpp#L421
    """
    if not isinstance(value, dict):
        raise BadRequest(f"{where}{dotted} is {shown(value)}", BIASES)
    found: dict[str, Any] = {}
    for token, bias in value.items():
        if not (isinstance(token, str) and token.isascii() and token.isdigit()):
            raise BadRequest(
                f"{where}{dotted} names {shown(token)}, which is no token id",
                BIASES,
                "for a text give the ids of its tokens, as the trace's tokens have them",
            )
        digits = token.lstrip("0") or "0"
        if bias is not False and not is_number(bias):
            raise BadRequest(f"{where}{dotted} gives the token {clip(digits, 20)} {shown(bias)}", BIASES)
        if digits in found:
            raise BadRequest(f"{where}{dotted} names the token {digits} twice", "accepted is one bias for a token")
        found[digits] = bias
    return found


def words(name: str, named: Mapping[str, str]) -> str:
    """How an error calls a setting: as who asked for it did, else as `Host.generate` takes it."""
    return named.get(name, f"sampling.{name}")


def check_ids(sampling: Mapping[str, Any], n_tokens: int, named: Mapping[str, str]) -> None:
    """Whether every id that `logit_bias` names is one of `n_tokens`; `named` is how the user called the settings.

    llama-server passes over the others without a word. Errors: `BadRequest` with the accepted range.
    """
    for token in sampling.get("logit_bias") or {}:
        if len(token) > ID_DIGITS or int(token) >= n_tokens:
            raise BadRequest(
                f"{words('logit_bias', named)} names the token {clip(token, 20)}",
                f"accepted are ids from 0 to {n_tokens - 1} (the vocabulary has {n_tokens:,} tokens)",
                "correct it, or remove it",
            )


def is_number(value: Any) -> bool:
    """Whether it is a number for llama.cpp: neither infinite nor beyond what 32 bits of a float hold; true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_FLOAT


def shown(value: Any) -> str:
    """A wrong value for an error, short however long it is."""
    try:
        return clip(json.dumps(value, default=repr), 80)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    except RecursionError:
        return "nested too deeply"
