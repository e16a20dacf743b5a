"""Every template on every conversation against the transformers package itself: the same text, or the same error."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from tests.engines.conversations import CONVERSATIONS
from tests.engines.templates import SPECIAL, TEMPLATES
from workbench.conversation import Conversation
from workbench.engines import Template, render

chat_template_utils = pytest.importorskip("transformers.utils.chat_template_utils")
from transformers.tokenization_utils_base import PreTrainedTokenizerBase  # noqa: E402  the line above skips without it

CLOCK = "2024-07-26T14:30:00"


class FixedTime:
    @staticmethod
    def now() -> datetime:
        return datetime.fromisoformat(CLOCK)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template_utils, "datetime", FixedTime)


def real(template: Any, body: dict[str, Any]) -> tuple[str | None, tuple[str, str] | None]:
    body = json.loads(json.dumps(body))
    tokenizer = PreTrainedTokenizerBase(**dict(SPECIAL))
    tokenizer.chat_template = template
    try:
        text = tokenizer.apply_chat_template(
            body["messages"],
            tools=body.get("tools"),
            documents=body.get("documents"),
            tokenize=False,
            add_generation_prompt=body.get("add_generation_prompt", True),
            **(body.get("chat_template_kwargs") or {}),
        )
    except Exception as error:  # noqa: BLE001  whatever it raises is what we must say
        return None, (type(error).__name__, str(getattr(error, "message", None) or str(error)))
    return text, None


def first_difference(ours: str | None, theirs: str | None) -> str:
    if ours is None or theirs is None:
        return f"ours {ours!r:.80}, theirs {theirs!r:.80}"
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"at {at}: ours {ours[max(at - 40, 0) : at + 40]!r}, theirs {theirs[max(at - 40, 0) : at + 40]!r}"


def test_there_are_at_least_fifty_cases() -> None:
    assert len(TEMPLATES) * len(CONVERSATIONS) >= 50
    assert len(TEMPLATES) >= 15


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_errors_are_those_of_transformers(name: str) -> None:
    template = Template(TEMPLATES[name], special_tokens=SPECIAL)
    for case, body in CONVERSATIONS.items():
        text, error = real(template.text, body)
        ours = render(Conversation.from_dict(body), template, clock=CLOCK)
        assert ours.text == text, f"{case}: {first_difference(ours.text, text)} {ours.error}"
        assert (ours.error and (ours.error.type, ours.error.message)) == error, case
        if text is not None:
            starts = [0, *(span.end for span in ours.spans)]
            assert [span.start for span in ours.spans] == starts[:-1], f"{case}: spans leave gaps"
            assert starts[-1] == len(text), f"{case}: spans end early"


@pytest.mark.parametrize(
    "tools", [None, [], [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]]
)
@pytest.mark.parametrize(
    "named", [{"default": "D", "tool_use": "T{{ tools | length }}"}, {"default": "D"}, {"other": "O"}]
)
def test_named_templates_are_chosen_as_transformers_chooses(named: dict[str, str], tools: Any) -> None:
    body = {"messages": [{"role": "user", "content": "x"}]} | ({} if tools is None else {"tools": tools})
    others = tuple((name, text) for name, text in named.items() if name != "default")
    ours = render(Conversation.from_dict(body), Template(named.get("default", ""), others))
    if not others:
        named = named["default"]  # type: ignore[assignment]
    text, error = real(named, body)
    assert (ours.text, ours.error and (ours.error.type, ours.error.message)) == (text, error)


@pytest.mark.parametrize(
    "field",
    [
        {"tools": ["not a dict"]},
        {"documents": ["not a dict"]},
        {"chat_template_kwargs": {"messages": []}},
        {"chat_template_kwargs": {"padding": True, "return_dict": True}},
    ],
)
def test_what_transformers_refuses_is_refused(field: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": "x"}]} | field
    template = "{{ messages[0].content }}{{ padding }}"
    text, error = real(template, body)
    ours = render(Conversation.from_dict(body), Template(template))
    assert (ours.text, ours.error and (ours.error.type, ours.error.message)) == (text, error)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' | tojson(indent=2, sort_keys=true) }}{{ {'ä': '<'} | tojson }}",
        "{{ namespace(_x=1) }}",
        "{% set n = namespace() %}{% set n._x = 1 %}",
        "{{ dict(a=1) }}{{ dict.fromkeys([1, 2], 'x') }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(x=1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ range(10 ** 6) | list }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{% autoescape true %}{{ '<' }}{{ messages[0].content }}{% endautoescape %}",
        "{{ (messages[0].content + '').encode() }}",
        "{{ tojson }}{{ 'x' | tojson(1, 2, 3, 4, 5, 6) }}",
        "{{ 1 / 0 }}",
        "{% for x in 5 %}{% endfor %}",
        "{{ messages[0].nothing.more }}",
        "{{ 'a' + 1 }}",
        "{{ '%d' % 'a' }}",
        "{{ strftime_now() }}",
        "{{ strftime_now(format='%Y') }}",
        "{{ raise_exception() }}",
        "{{ raise_exception(messages[0].content) }}",
        "{{ raise_exception(5) }}",
        "{{ raise_exception(none) }}",
        "{% block a %}{{ messages[0].content }}{% endblock %}{{ self.a() }}",
        "{% macro f() %}{{ caller() }}{{ varargs }}{{ kwargs }}{% endmacro %}{% call f(1, a=2) %}x{% endcall %}",
    ],
)
def test_corners_of_the_sandbox(source: str) -> None:
    body = {"messages": [{"role": "user", "content": "<é>"}]}
    text, error = real(source, body)
    ours = render(Conversation.from_dict(body), Template(source, special_tokens=SPECIAL), clock=CLOCK)
    assert (ours.text, ours.error and (ours.error.type, ours.error.message)) == (text, error)
