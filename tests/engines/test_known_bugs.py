"""Documented bugs of templates, engines and the choice of a template, each in small: the renders show it."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engines.templates import SPECIAL
from workbench.conversation import Conversation
from workbench.data import templates
from workbench.engines import Template, render
from workbench.parsers import parse
from workbench.renders import render_all
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
CALL = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": {"path": "a"}}}
HISTORY = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "found", "tool_call_id": "c1"},
    USER,
]


def tool(**properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": "read", "description": "d", "parameters": parameters}}


def at(source: str, *messages: Any, engine: str = "transformers", clock: str = "2026-11-24", **more: Any) -> Rendered:
    body = {"messages": list(messages) or [USER], **more}
    return render(Conversation.from_dict(body), Template(source, (), SPECIAL), engine=engine, clock=clock)


def text(source: str, *messages: Any, **more: Any) -> str:
    found = at(source, *messages, **more)
    assert found.error is None, found.error
    return found.text or ""


def gemma4_macro_missing() -> None:
    source = "{% for t in tools %}\n{% for p in t.function.parameters.properties.values() %}{{ p.type | lower }}{{ p.type.upper() }}{% endfor %}{% endfor %}"
    assert text(source, tools=[tool(path={"type": "string"})])
    found = at(source, tools=[tool(path={"type": ["string", "null"]})])
    assert found.error is not None
    assert found.error.line == 2


def template_ignores_generation_prompt() -> None:
    broken = templates()["broken/no-generation-prompt"].read_text("utf-8")
    assert text(broken) == text(broken, add_generation_prompt=False)


def llama31_stale_date() -> None:
    source = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}"
    assert text(source) == "26 Jul 2024"
    server = at(source, engine="llama-server")
    assert server.text == "24 Nov 2026"
    assert any("date_string: not given" in rewrite for rewrite in server.rewrites)


def think_forced_open() -> None:
    source = "{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}"
    prompt = text(source)
    assert prompt.endswith("<think>\n")
    parsed = parse("x</think>y", prompt_tail=prompt)
    assert (parsed.reasoning, parsed.content) == ("x", "y")


def system_must_be_first() -> None:
    source = "{% for m in messages %}{% if m.role == 'system' and not loop.first %}\n{{ raise_exception('first') }}{% endif %}{{ m.role }}{% endfor %}"
    for engine in ("transformers", "llama.cpp", "llama-server"):
        assert at(source, SYSTEM, USER, engine=engine).error is None
        found = at(source, USER, SYSTEM, engine=engine)
        assert found.error is not None
        assert "first" in found.error.message


def null_content_none() -> None:
    messages = [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, USER]
    source = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    assert text(source, *messages, engine="llama-cpp-python") == "[Hi][None][Hi]"
    found = at(source, *messages, engine="llama.cpp")
    assert found.text == "[Hi][][Hi]"
    assert 'messages[1].content: null became ""' in found.rewrites


def tools_silently_dropped() -> None:
    for engine in ("transformers", "llama.cpp", "llama-server"):
        assert text(TURNS, engine=engine) == text(TURNS, engine=engine, tools=[tool(path={"type": "string"})])
    assert not any(span.origin == "tool" for span in at(TURNS, tools=[tool()]).spans)


def no_user_query() -> None:
    source = "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}\n{% if not ns.found %}{{ raise_exception('No user query found') }}{% endif %}x"
    found = at(source, SYSTEM, *HISTORY[1:3])
    assert found.error is not None
    assert (found.error.line, found.error.message) == (2, "No user query found")


def dot_zero_index() -> None:
    source = "{{ messages.0.role }}"
    assert text(source) == "user"
    found = at(source, engine="llama.cpp")  # build b10775 refuses what newer ones understand, and says where
    assert found.error is not None
    assert (found.error.line, found.error.message) == (1, "Static member property must be an identifier")
    assert text(source, engine="llama-server") == "user"
    assert at("{{ messages[0].role }}", engine="llama.cpp").text == "user"


def history_polyfill_json() -> None:
    found = at(TURNS, *HISTORY, engine="llama-server")
    assert found.text is not None
    assert "read" not in found.text  # the call is lost without a word, and the origins say so
    assert not any(span.path and "tool_calls" in span.path for span in found.spans)


def sandbox_append() -> None:
    source = "{% set l = [] %}\n{% for m in messages %}{% set _ = l.append(m.role) %}{% endfor %}{{ l | join(',') }}"
    found = at(source)
    assert found.error is not None
    assert (found.error.type, found.error.line) == ("SecurityError", 2)
    assert text(source, engine="llama.cpp") == "user"


def tojson_float_6_digits() -> None:
    call = {
        **CALL,
        "function": {"name": "at", "arguments": {"ts": 1732250000.123456, "lat": 52.5200066, "pi": 3.14159265358979}},
    }
    source = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
    messages = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, USER]
    assert "1732250000.123456" in text(source, *messages)
    found = at(source, *messages, engine="llama.cpp")
    assert "1.73225e+09" in (found.text or "")
    assert "unknown" in {span.origin for span in found.spans}


def tojson_separators() -> None:
    source = "{{ tools | tojson(separators=(',', ':')) }}"
    tools = [tool(path={"type": "string"})]
    assert text(source, tools=tools) == text(source, tools=tools, engine="llama.cpp")
    assert ": " not in text(source, tools=tools)


def typed_content_flattened() -> None:
    typed = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert "[{'type'" in text("{{ messages[0].content }}", typed)
    for engine in ("llama.cpp", "llama-server"):
        assert text("{{ messages[0].content }}", typed, engine=engine) == "a\nb"


def thinking_kwarg_default() -> None:
    source = (
        "{{ 'on' if enable_thinking else 'off' if enable_thinking is defined else 'unset' }}{{ messages[0].content }}"
    )
    assert text(source) == "unsetHi"
    assert text(source, engine="llama.cpp") == "onHi"
    wrong = {"chat_template_kwargs": {"enable_thinking": "false"}}
    assert text(source, **wrong) == "onHi"  # a text that is not empty is true
    refused = at(source, engine="llama-server", **wrong)
    assert refused.error is not None
    assert refused.error.type == "HTTP 400"


def tool_prop_named_items() -> None:
    source = "{% for t in tools %}{% for n, s in t.function.parameters.properties.items() %}{{ n }}={{ s.type }};{% endfor %}{% endfor %}"
    tools = [tool(items={"type": "array"}, path={"type": "string"})]
    assert text(source, tools=tools) == "items=array;path=string;"
    assert text(source, tools=tools, engine="llama.cpp") == "items=array;path=string;"


def safe_markup_escape() -> None:
    source = '{{ "<t>" | safe + tools[0] | tojson }}'
    tools = [tool(path={"type": "string"})]
    assert "&#34;" in text(source, tools=tools)
    assert "&#34;" not in text(source, tools=tools, engine="llama.cpp")


def no_template_in_gguf() -> None:
    found = render_all(Conversation.from_dict({"messages": [SYSTEM, USER]}), Template(""))
    assert [item.engine for item in found.absent] == ["transformers"]
    assert "<|im_start|>" in (found["llama.cpp"].text or "")
    assert "[INST]" in (found["llama-cpp-python"].text or "")
    assert found["ollama"].text == "Hi"


def phi3_taken_for_zephyr() -> None:
    found = at(templates()["phi-3"].read_text("utf-8"), engine="llama.cpp-legacy")
    assert "<|end|>" in (found.text or "")
    assert "'phi3'" in found.notes[0]
    spliced = at("{{ '<|' + m.role + '|>' }}", engine="llama.cpp-legacy")  # roles put together leave no pattern
    assert spliced.error is not None
    assert spliced.error.type == "Unsupported"


def granite_unsupported() -> None:
    found = at("{{ '<|a_role|>' + messages[0].content }}", engine="llama.cpp-legacy")
    assert found.error is not None
    assert found.error.type == "Unsupported"


def zephyr_taken_for_glmedge() -> None:
    source = "{{ '<|user|>\\n' + eos_token }}{{ '<|assistant|>' }}"
    found = at(source, SYSTEM, USER, engine="llama.cpp-legacy")
    assert found.text == "<|system|>\nBe brief.<|user|>\nHi<|assistant|>"
    assert "'glmedge'" in found.notes[0]


def lcp_fallback_llama2() -> None:
    found = at("", engine="llama-cpp-python")
    assert "[INST]" in (found.text or "")
    assert "'llama-2'" in found.notes[0]


CASES = {
    "gemma4-macro-missing": gemma4_macro_missing,
    "template-ignores-generation-prompt": template_ignores_generation_prompt,
    "llama31-stale-date": llama31_stale_date,
    "think-forced-open": think_forced_open,
    "system-must-be-first": system_must_be_first,
    "null-content-None": null_content_none,
    "tools-silently-dropped": tools_silently_dropped,
    "no-user-query": no_user_query,
    "dot-zero-index": dot_zero_index,
    "history-polyfill-json": history_polyfill_json,
    "sandbox-append": sandbox_append,
    "tojson-float-6-digits": tojson_float_6_digits,
    "tojson-separators": tojson_separators,
    "typed-content-flattened": typed_content_flattened,
    "thinking-kwarg-default": thinking_kwarg_default,
    "tool-prop-named-items": tool_prop_named_items,
    "safe-markup-escape": safe_markup_escape,
    "no-template-in-gguf": no_template_in_gguf,
    "phi3-taken-for-zephyr": phi3_taken_for_zephyr,
    "granite-unsupported": granite_unsupported,
    "zephyr-taken-for-glmedge": zephyr_taken_for_glmedge,
    "lcp-fallback-llama2": lcp_fallback_llama2,
}


# Those that llama-server shows, which needs weights to start.
ON_A_SERVER = (
    "llama31-stale-date",
    "system-must-be-first",
    "tools-silently-dropped",
    "dot-zero-index",
    "history-polyfill-json",
    "typed-content-flattened",
    "thinking-kwarg-default",
    "no-template-in-gguf",
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.model] if name in ON_A_SERVER else []) for name in CASES]
)
def test_it_can_be_shown(name: str) -> None:
    CASES[name]()


def test_every_documented_one_of_these_layers_is_here() -> None:
    listed = Path(__file__).parents[3] / "shared" / "data" / "bugs.json"
    if not listed.exists():
        pytest.skip("the list of documented bugs is not beside the project")
    layers = ("template", "engine", "template-choice")
    assert {bug["id"] for bug in json.loads(listed.read_text("utf-8")) if bug["layer"] in layers} <= set(CASES)
