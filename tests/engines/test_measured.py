"""Which fields of a request an engine uses: by renders with and without each; and why arguments are missing."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

from typing import Any

import pytest

from workbench.compare.fields import Measured
from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.measured import MOST, measured
from workbench.renders import render_all

USER = {"role": "user", "content": "Hi"}
TURNS = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') + '<|im_end|>\\n' }}{% endfor %}"
ASKS = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
EFFORT = "{% if reasoning_effort is defined %}{{ '[' + reasoning_effort + ']' }}{% endif %}"
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}


def of(engine: str, source: str, body: dict[str, Any], **more: Any) -> Measured:
    conversation, template = Conversation.from_dict({"messages": [USER], **body}), Template(source)
    return measured(conversation, template, render(conversation, template, engine=engine), **more)


def verdicts(found: Measured) -> dict[str, str]:
    return {field.path: field.verdict for field in found.fields}


@pytest.mark.parametrize(
    ("engine", "used"),
    [
        ("transformers", {"chat_template_kwargs.enable_thinking"}),
        ("llama.cpp", {"chat_template_kwargs.enable_thinking"}),
        ("llama.cpp-legacy", set()),
        ("llama-cpp-python", set()),
        ("llama-server", {"reasoning_effort"}),
        ("ollama", {"think"}),
    ],
)
def test_one_engine_uses_what_another_ignores(engine: str, used: set[str]) -> None:
    body = {
        "think": False,
        "reasoning_effort": "high",
        "chat_template_kwargs": {"enable_thinking": False, "mood": "calm"},
    }
    found = verdicts(of(engine, EFFORT + TURNS + ASKS, body))
    assert {path for path, verdict in found.items() if verdict == "used"} == used
    assert {path for path, verdict in found.items() if verdict == "not used"} == {
        "think", "reasoning_effort", "chat_template_kwargs.enable_thinking", "chat_template_kwargs.mood"
    } - used  # fmt: skip


def test_every_kind_of_field_is_measured() -> None:
    source = TURNS + "{{ tools | length if tools }}{{ documents | length if documents }}" + ASKS
    body = {"tools": [TOOL], "documents": [{"text": "x"}], "add_generation_prompt": False, "tool_choice": "auto"}
    body |= {
        "response_format": {"type": "json_object"},
        "parallel_tool_calls": True,
        "temperature": 0.5,
        "stream": True,
    }
    body["messages"] = [USER, {"role": "assistant", "content": "x", "reasoning_content": "hm", "name": "Ada"}]
    assert verdicts(of("transformers", source, body)) == {
        "tools": "used",
        "documents": "used",
        "add_generation_prompt": "used",
        "tool_choice": "not used",
        "response_format": "not used",
        "parallel_tool_calls": "not used",
        "temperature": "elsewhere",
        "stream": "elsewhere",
        "messages[].reasoning_content": "not used",
        "messages[].name": "not used",
    }


def test_a_field_that_only_lets_it_fail_is_used() -> None:
    source = "{% if tools %}{{ raise_exception('no tools here') }}{% endif %}" + TURNS
    found = of("transformers", source, {"tools": [TOOL]})
    assert found["tools"] == ("tools", "used", "without it the render does not fail")
    wants = "{% if not tools %}{{ raise_exception('no tools') }}{% endif %}"
    assert of("transformers", wants, {"tools": [TOOL]})["tools"].words == "without it the render fails: no tools"


@pytest.mark.waits
def test_what_cannot_be_measured_says_why() -> None:
    assert of("transformers", "{{ 1 / 0 }}", {"x": 1})["x"].verdict == "not evaluated"
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    assert "stopped" in of("transformers", endless, {"x": 1})["x"].words
    clock = of("transformers", "{{ strftime_now('%f') }}", {"x": 1})
    assert clock["x"] == ("x", "not evaluated", "two renders of the same request differ")
    fixed = of("transformers", "{{ strftime_now('%f') }}", {"x": 1}, clock="2026-01-01T00:00:00")
    assert fixed["x"].verdict == "not evaluated"  # it was rendered at another time than the one that is told
    many = of("transformers", TURNS, {f"x{n}": 1 for n in range(MOST + 2)})
    assert [field.verdict for field in many.fields].count("not evaluated") == 2


def test_only_some_fields_can_be_asked_for() -> None:
    assert [*verdicts(of("transformers", TURNS, {"x": 1, "tools": [TOOL]}, only=["x"]))] == ["x"]


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "a.py"}'}}
OBJECTS = TURNS + (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% if c.function.arguments is mapping %}"
    "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}{% endif %}{% endfor %}{% endfor %}"
)
TEXTS = TURNS + (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% if c.function.arguments is string %}"
    "{{ c.function.arguments }}{% endif %}{% endfor %}{% endfor %}"
)


def reasons(engine: str, source: str, arguments: Any) -> dict[str, str]:
    call = {**CALL, "function": {"name": "look", "arguments": arguments}}
    messages = [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    found = of(engine, source, {"messages": messages})
    assert found.reach is not None
    return {part.path: part.because for part in found.reach.missing}


LOST = "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize("engine", ["transformers", "llama.cpp", "llama-cpp-python"])
def test_why_arguments_vanish_is_measured(engine: str) -> None:
    words = "the template writes arguments only where they are an object, this engine hands over text"
    assert reasons(engine, OBJECTS, '{"at": "a.py"}') == {LOST: words}
    assert reasons(engine, OBJECTS, {"at": "a.py"}) == {}
    assert reasons("transformers", TURNS + "look", '{"at": "a.py"}').get(LOST, "") == ""


def test_why_arguments_vanish_the_other_way_round() -> None:
    words = "the template writes arguments only where they are text, this engine hands over an object"
    assert reasons("transformers", TEXTS, {"at": "a.py"}) == {LOST: words}
    assert reasons(
        "ollama",
        TEXTS + "unlike any template that is known by its text, by more than a hundred characters",
        '{"at": "a.py"}',
    ) == {LOST: words}


def test_side_by_side_tells_it_for_every_engine() -> None:
    conversation = Conversation.from_dict({"messages": [USER], "think": False})
    found = render_all(conversation, Template(TURNS + ASKS), engines=["transformers", "ollama"])
    assert [(one.engine, one["think"].verdict) for one in found.measured] == [
        ("transformers", "not used"),
        ("ollama", "used"),
    ]
    assert "Fields of the request" in found._repr_html_()
    kept = found.to_dict()["renders"][1]
    assert kept["fields"][0]["path"] == "think"
    assert kept["text"] == found["ollama"].text
