"""What engines change in a request before its template sees it: what the template prints, held against what is told."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}
# It prints its messages as JSON, and looks like one that writes turns to an engine that tries it out.
PRINTS = (
    "{% if show is defined or messages[0].content == 'show' %}{{ messages | tojson }}{% else %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.name }}({% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}"
    "{{ c.function.arguments | tojson }}{% endif %}){% endfor %}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}{% endif %}"
)
GO = "{{ json .Messages }}"


def at(engine: str, source: str, body: dict[str, Any]) -> Rendered:
    """A render, once more where a busy machine had no time to tell what was changed: a server has started by then."""
    found = render(Conversation.from_dict(body), Template(source), engine=engine)
    return render(Conversation.from_dict(body), Template(source), engine=engine) if untold(found) else found


def different(path: str, before: Any, after: Any, *, ordered: bool = True) -> set[str]:
    """The paths at which two values differ; `ordered`: that of an object whose keys stand in another order too."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = set()
        for name in {*before, *after}:
            inner = f"{path}.{name}"
            found |= (
                different(inner, before[name], after[name], ordered=ordered)
                if name in before and name in after
                else {inner}
            )
        shared = [name for name in before if name in after]
        return found | ({path} if ordered and shared != [name for name in after if name in before] else set())
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return {
            one
            for n, pair in enumerate(zip(before, after, strict=True))
            for one in different(f"{path}[{n}]", *pair, ordered=ordered)
        }
    return set() if before == after else {path}


def told(rendered: Rendered) -> set[str]:
    """The paths that the rewrites name."""
    found = {path for line in rendered.rewrites for path in line.partition(": ")[0].split(", ")}
    return {path for path in found if path.startswith("messages")}


def untold(rendered: Rendered) -> bool:
    """Whether telling it took longer than a render may: a machine that is busy elsewhere is no difference."""
    return any(note.startswith("not evaluated: what") for note in rendered.notes)


def covers(told_path: str, path: str) -> bool:
    return path == told_path or path.startswith((told_path + ".", told_path + "["))


text = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0\x1e\x1f"), min_size=1, max_size=6)
    .map(str.strip)
    .filter(bool)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
arguments = st.dictionaries(text, values, max_size=3)
calls = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({"name": text, "arguments": arguments.map(json.dumps)})},
        optional={"id": text, "type": st.just("function")},
    ),
    max_size=2,
)
assistants = st.one_of(
    st.fixed_dictionaries({"role": st.just("assistant"), "content": text}, optional={"reasoning_content": text}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": text | st.none() | st.just(""), "tool_calls": calls}
    ),
)
results = st.fixed_dictionaries(
    {"role": st.just("tool"), "content": text}, optional={"tool_call_id": text, "name": text}
)
requests = st.tuples(assistants, results, assistants).map(
    lambda rest: {"messages": [{"role": "user", "content": "show"}, *rest, {"role": "user", "content": "and now?"}]}
)


@pytest.mark.parametrize("engine", ["transformers", "llama.cpp", "llama-cpp-python", "llama-server", "ollama"])
@given(body=requests)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_difference_is_told_and_nothing_else(engine: str, body: dict[str, Any]) -> None:
    found = at(engine, PRINTS, body)
    if found.text is None or untold(found):
        return
    seen = json.loads(found.text)
    paths, named = different("messages", body["messages"], seen), told(found)
    assert not [path for path in paths if not any(covers(one, path) for one in named)], (found.rewrites, seen)
    assert not [one for one in named if not any(covers(one, path) for path in paths)], (found.rewrites, seen)


def go_message(message: dict[str, Any]) -> dict[str, Any]:
    """A message as Go prints it, in the names of a request; what is not set is left out."""
    calls_of = [
        {"id": call["ID"], "function": {name.lower(): call["Function"][name] for name in ("Name", "Arguments")}}
        for call in message["ToolCalls"] or []
    ]
    fields = {
        "reasoning": message["Thinking"],
        "tool_calls": calls_of,
        "name": message["ToolName"],
        "tool_call_id": message["ToolCallID"],
    }
    return {"role": message["Role"], "content": message["Content"]} | {n: v for n, v in fields.items() if v}


@given(body=requests)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_difference_is_told_of_a_go_template_too(body: dict[str, Any]) -> None:
    found = at("ollama", GO, body)
    if found.text is None or untold(found):
        return
    sent = []
    for message in body["messages"]:
        plain = {name: value for name, value in message.items() if value or name == "content"}
        for call in plain.get("tool_calls", []):
            call.pop("type", None)
            call.setdefault("id", "")
        sent.append(plain)
    seen = [go_message(message) for message in json.loads(found.text)]
    paths, named = different("messages", sent, seen, ordered=False), told(found)
    assert not [path for path in paths if not any(covers(one, path) for one in named)], (found.rewrites, seen)
    assert not [one for one in named if not any(covers(one, path) for path in paths)], (found.rewrites, seen)


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "a.py"}'}}
HISTORY = [
    USER,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "x"},
]
EITHER = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    "{% if c.function.arguments is mapping %}{{ c.function.arguments.at }}{% else %}{{ c.function.arguments }}{% endif %}"
    "{% endfor %}{% endfor %}, which is unlike any template that Ollama knows by its text, by far more than a hundred characters"
)


def test_ollama_tells_that_a_text_became_an_object() -> None:
    words = 'messages[1].tool_calls[0].function.arguments: "{\\"at\\": \\"a.py\\"}" became {"at": "a.py"}'
    for source in (EITHER, "{{ range .Messages }}{{ .Content }}{{ end }}"):
        assert words in at("ollama", source, {"messages": HISTORY}).rewrites


def test_ollama_tells_that_an_empty_list_of_calls_is_dropped() -> None:
    body = {"messages": [USER, {"role": "assistant", "content": "So.", "tool_calls": []}, USER]}
    assert at("ollama", EITHER, body).rewrites == ("messages[1].tool_calls: [] is not handed on",)


def test_ollama_tells_which_texts_it_joins() -> None:
    body = {
        "messages": [
            USER,
            {"role": "user", "content": "there", "name": "Ada"},
            {"role": "assistant", "content": "Yo"},
            USER,
        ]
    }
    found = at("ollama", "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}", body)
    assert found.text == "<user>Hi\n\nthere<assistant>Yo<user>Hi"
    assert found.rewrites == (
        "messages[1]: joined to messages[0], with an empty line between",
        'messages[1].name: "Ada" is not handed on',
    )


def test_ollama_tells_what_a_template_of_one_exchange_is_never_given() -> None:
    body = {"messages": [*HISTORY, {"role": "assistant", "content": "It is x."}, USER]}
    found = at("ollama", "[{{ .Prompt }}|{{ .Response }}]", body)
    assert found.text == "[Hi|It is x.][Hi|"
    assert [line.partition(":")[0] for line in found.rewrites] == [
        "messages[1]",
        "messages[2]",
    ]  # the second answer takes the place of the first


TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "strict": True,
        "parameters": {"type": "object", "properties": {"at": {"type": "string", "default": "b.py"}}},
    },
}


def test_ollama_tells_what_it_has_no_name_for() -> None:
    found = at("ollama", "{{ tools | tojson }}" + EITHER, {"messages": [USER], "tools": [TOOL]})
    assert "default" not in (found.text or "")
    assert {re.sub(":.*", "", line) for line in found.rewrites} == {
        "tools[0].function.parameters.properties.at.default",
        "tools[0].function.strict",
    }
    refused = at("ollama", EITHER, {"messages": [USER], "tools": [{"type": "function", "function": {"name": 5}}]})
    assert refused.error is not None
    assert "tools[0].function.name is no text" in refused.error.message


def test_a_number_that_go_cannot_hold_is_told() -> None:
    call = {"function": {"name": "look", "arguments": '{"n": 12345678901234567890}'}}
    body = {"messages": [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]}
    rewrites = at("ollama", "{{ range .Messages }}{{ .Content }}{{ end }}", body).rewrites
    assert rewrites == (
        'messages[1].tool_calls[0].function.arguments: "{\\"n\\": 12345678901234567890}" became {"n": 12345678901234567000}',
    )


THINKS = "{{ messages[0].content }}{{ enable_thinking }}{{ reasoning_effort }}" + EITHER


@pytest.mark.parametrize("engine", ["llama-server", "ollama"])
def test_what_the_request_gives_is_not_called_added(engine: str) -> None:
    found = at(engine, THINKS, {"messages": [USER], "reasoning_effort": "high"})
    assert "high" in (found.text or "")
    assert not [line for line in found.rewrites if line.startswith("reasoning_effort")]
    assert {span.path for span in found.spans if span.origin == "message" and "effort" in str(span.path)} == {
        "reasoning_effort"
    }


SWITCH = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' and m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)


@pytest.mark.parametrize(
    ("engine", "field"), [("llama-server", {"reasoning_effort": "none"}), ("ollama", {"think": False})]
)
def test_what_a_field_of_the_request_sets_is_told_with_the_field(engine: str, field: dict[str, Any]) -> None:
    found = at(engine, SWITCH, {"messages": [USER], **field})
    assert (found.text or "").endswith("<think>\n\n</think>\n\n")
    assert found.rewrites == (f"enable_thinking: false, set by the request's {next(iter(field))}",)


def test_an_argument_that_transformers_keeps_for_itself_is_told() -> None:
    body = {"messages": [USER], "chat_template_kwargs": {"padding": True, "mood": "calm"}}
    found = at("transformers", "{{ padding is defined }}{{ mood }}", body)
    assert (found.text, found.rewrites) == ("Falsecalm", ("chat_template_kwargs.padding: not handed on",))
