"""Go templates as Ollama executes them: held against recorded renders, and every way in which one is chosen."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from ggufdoctor import ollama as registry

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.ollama import choose, is_go, sandbox
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "at a <place>",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {
                "unit": {"type": "string", "enum": ["C", "K"]},
                "city": {"type": ["string", "null"], "description": "a town"},
                "more": {"type": "object", "properties": {"z": {"type": "integer"}, "a": {"type": "boolean"}}},
            },
        },
    },
}
MODERN = """\
{{- if .System }}<sys>{{ .System }}</sys>
{{ end }}
{{- if .Tools }}<tools>{{ range .Tools }}
{{ .Function.Name }}({{ range $name, $p := .Function.Parameters.Properties }}{{ $name }}: {{ toTypeScriptType $p }}; {{ end }}){{ end }}
{{ .Tools }}</tools>
{{ end }}
{{- range $i, $m := .Messages }}
{{- if eq .Role "user" }}<u>{{ .Content }}</u>
{{- else if eq .Role "assistant" }}<a>{{ if .Thinking }}({{ .Thinking }}){{ end }}{{ .Content }}
{{- range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}</a>
{{- else if eq .Role "tool" }}<t {{ .ToolName }}>{{ json .Content }}</t>
{{- end }}
{{- end }}
{{- if and .IsThinkSet .Think }}<think>{{ .ThinkLevel }}{{ end }} {{ currentDate }} {{ yesterdayDate }}"""


def rendered(source: str, *messages: Any, **more: Any) -> Rendered:
    body = {"messages": list(messages) or [USER], **more}
    return render(Conversation.from_dict(body), Template(source), engine="ollama", clock="2024-03-01")


def corpus() -> list[dict[str, Any]]:
    text = resources.files("ggufdoctor.fixture_data").joinpath("corpus.json").read_text("utf-8")
    return json.loads(text)["fixtures"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", sorted(registry.load_goldens()["renders"]))
def test_recorded_renders_are_equal(name: str) -> None:
    recorded = registry.load_goldens()["renders"][name]
    compared = 0
    for fixture in corpus():
        context, wanted = fixture["context"], recorded[fixture["name"]]
        body = {"messages": context["messages"], "tools": context.get("tools"), "think": context.get("enable_thinking")}
        options = {"template": registry.template_source(name), "clock": "2024-03-01"}
        reply = sandbox().render(options, json.dumps(body).encode())
        if isinstance(wanted, dict):  # a content that is no text: both refuse it
            assert "cannot unmarshal array" in wanted["unrepresentable"]
            assert reply.plain["error"]["type"] == "RequestError"
        else:
            assert reply.text == wanted, fixture["name"]
            compared += 1
    assert compared == 9


def test_a_modern_template_sees_tools_calls_and_thinking() -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"unit": "K", "city": "<Graz>"}'},
    }
    found = rendered(
        MODERN,
        {"role": "system", "content": "S"},
        USER,
        {"role": "user", "content": "there"},
        {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": 'clear "sky"'},
        tools=[TOOL],
        reasoning_effort="low",
    )
    assert found.error is None
    assert found.text == (
        "<sys>S</sys>\n<tools>\nweather(city: string | null; more: Record<string, any>; unit: string; )\n"
        '[{"type":"function","function":{"name":"weather","description":"at a \\u003cplace\\u003e","parameters":'
        '{"type":"object","required":["city"],"properties":{"city":{"type":["string","null"],"description":"a town"},'
        '"more":{"type":"object","properties":{"z":{"type":"integer"},"a":{"type":"boolean"}}},'
        '"unit":{"type":"string","enum":["C","K"]}}}}}]</tools>\n'
        "<u>Hi\n\nthere</u>"
        '<a>(hm){"name": "weather", "arguments": {"city":"\\u003cGraz\\u003e","unit":"K"}}</a>'
        '<t weather>"clear \\"sky\\""</t><think>low 2024-03-01 2024-02-29'
    )


def test_an_old_template_is_executed_once_for_each_exchange() -> None:
    source = "{{ if .System }}[{{ .System }}]{{ end }}U:{{ .Prompt }} A:{{ .Response }}|"
    found = rendered(source, {"role": "system", "content": "S"}, USER, {"role": "assistant", "content": "Yo"}, USER)
    assert found.text == "[S]U:Hi A:Yo|U:Hi A:"
    assert any("once for each exchange" in note for note in found.notes)


def test_tools_that_a_template_never_mentions_are_told() -> None:
    assert any("never mentions the tools" in note for note in rendered("{{ .Prompt }}", tools=[TOOL]).notes)
    assert not any("never mentions" in note for note in rendered("{{ range .Messages }}{{ end }}").notes)


def test_a_known_jinja_is_replaced_by_ollamas_own() -> None:
    name, jinja = registry.load_index()[0]
    found = rendered(jinja)
    assert repr(name) in found.notes[0]
    assert found.text == rendered(registry.template_source(name)).text


def test_an_unknown_jinja_is_left_to_llama_cpp() -> None:
    jinja = (
        "{% for m in messages %}{{ m.role }} says {{ m.content }}, and that is all that was said here.{% endfor %}" * 3
    )
    found = rendered(jinja)
    assert found.engine == "ollama"
    assert found.text == render(Conversation.from_dict({"messages": [USER]}), Template(jinja), engine="llama.cpp").text


def test_a_modelfile_brings_template_system_and_messages() -> None:
    text = 'FROM x\nPARAMETER stop "<e>"\nSYSTEM """be\nnice"""\nMESSAGE user before\nMESSAGE assistant sure\n'
    text += 'TEMPLATE """{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}"""\n'
    found = rendered(text)
    assert found.text == "<system>be\nnice<user>before<assistant>sure<user>Hi"
    assert "the template is the Modelfile's" in found.notes[0]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"role": "user", "content": None}], "no tool calls"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "'audio'"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": "{"}}]}], "is no JSON"),
        ([{"role": "user", "content": 5}], "of type int and there are no tool calls"),
        ([{"role": 5, "content": "x"}], "role is no text"),
        *(
            ([{"role": "assistant", "content": "", "tool_calls": calls}], "Ollama refuses")
            for calls in (5, {"a": 1}, ["a"], [None], [{"function": "f"}])
        ),
    ],
)
def test_what_ollama_refuses_is_a_result(messages: list[Any], reason: str) -> None:
    found = rendered("{{ .Prompt }}", *messages)
    assert found.error is not None
    assert found.error.type == "RequestError"
    assert reason in found.error.message


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        ("a\n{{ .Foo", "TemplateSyntaxError", 2, None),
        ("a\n{{ .Prompt }}{{ nothing . }}", "TemplateSyntaxError", 2, None),
        ("a\n{{ range .Messages }}{{ .Nope }}{{ end }}", "TemplateError", 2, 25),
        ("{{ if .System }}a{{ .Response }}{{ else }}b{{ end }}", "ServerError", None, None),
    ],
)
def test_errors_have_their_place(source: str, kind: str, line: int | None, column: int | None) -> None:
    error = rendered(source).error
    assert error is not None
    assert (error.type, error.line, error.column) == (kind, line, column), error


def test_go_is_told_from_jinja() -> None:
    assert is_go("{{ .Prompt }}")
    assert is_go("{{- range $i, $m := .Messages }}{{ end }}")
    assert not is_go("{{ messages[0].content }}")
    assert not is_go("{% if messages %}{{ .5 }}{% endif %}")
    assert not is_go("no template at all")


def test_a_quoted_value_goes_on_until_a_line_ends_with_its_quotes() -> None:
    found = choose('FROM x\nTEMPLATE "[INST] {{ .Prompt }} [/INST]\n"\n')
    assert found.template == "[INST] {{ .Prompt }} [/INST]\n"
    found = choose('FROM x\nMESSAGE user """multi\nSYSTEM line"""\nTEMPLATE """{{ .Prompt }}"""\n')
    assert (found.system, found.messages) == ("", (("user", "multi\nSYSTEM line"),))
    assert choose('FROM x\nSYSTEM """Write """code""" blocks."""\n').system == 'Write """code""" blocks.'
    assert rendered("FROM x\nMESSAGE bogus hi\nTEMPLATE {{ .Prompt }}").error.type == "RequestError"
    assert "never ends" in rendered('FROM x\nTEMPLATE """{{ .Prompt }}').error.message


@pytest.mark.parametrize(
    "source",
    [
        "{# gemma fix\nFrom the model card\n#}{% for m in messages %}{{ m.content }}{% endfor %}",
        "System prompt follows.\n{% for m in messages %}{{ m.content }}{% endfor %}",
    ],
)
def test_a_jinja_template_is_no_modelfile(source: str) -> None:
    assert choose(source).template != "{{ .Prompt }}"
    assert choose(source).system == ""


def test_jinja_that_is_left_to_llama_cpp_gets_the_request_as_ollama_reads_it() -> None:
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}, which is quite unlike any template that was ever known by name{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}{{ enable_thinking }}"
    found = rendered(source, add_generation_prompt=False, chat_template_kwargs={"enable_thinking": False})
    assert found.text.endswith("<assistant>True")
    assert any("add_generation_prompt: Ollama does not know it" in rewrite for rewrite in found.rewrites)
    refused = rendered(source, {"role": "user", "content": None})
    assert refused.error.type == "RequestError"


def test_nothing_is_left_behind() -> None:
    before = set(Path("/dev/shm").glob("workbench-*")) if Path("/dev/shm").is_dir() else set()
    sandbox().close()
    assert rendered("{{ .Prompt }}").text == "Hi"
    sandbox().close()
    assert set(Path("/dev/shm").glob("workbench-*")) <= before
