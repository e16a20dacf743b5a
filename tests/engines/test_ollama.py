"""Go templates as Ollama executes them: held against recorded renders, and every way in which one is chosen."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

import json
import re
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
        options = {"template": registry.template_source(name), "clock": "2024-03-01", "track": True}
        reply = sandbox().render(options, json.dumps(body).encode())
        if isinstance(wanted, dict):  # a content that is no text: both refuse it
            assert "cannot unmarshal array" in wanted["unrepresentable"]
            assert reply.plain["error"]["type"] == "RequestError"
        else:
            assert reply.text == wanted, fixture["name"]
            assert re.sub("\ue000[^\ue001]*\ue001", "", reply.tracked["marked"]) == wanted
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


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def pieces(found: Rendered) -> list[tuple[str, str, str | None, bool]]:
    return [((found.text or "")[s.start : s.end], s.origin, s.path, s.verbatim) for s in found.spans]


def test_every_character_of_a_go_template_has_its_origin() -> None:
    source = "{{ if .System }}[{{ .System }}]\n{{ end }}{{ range $m := .Messages }}<{{ .Role }}>{{ $m.Content }}"
    source += "{{ range .ToolCalls }}{{ .Function.Name }}{{ .Function.Arguments }}{{ end }}{{ end }}{{ json .Tools }}"
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Graz"}'}}
    said = {"role": "assistant", "content": "", "tool_calls": [call]}
    found = rendered(
        source, {"role": "system", "content": "S"}, USER, {"role": "user", "content": "there"}, said, tools=[TOOL]
    )
    assert pieces(found)[:3] == [
        ("[", "template", None, True),
        ("S", "message", "messages[0].content", True),
        ("]\n", "template", None, True),
    ]
    assert pieces(found)[7:14] == [
        ("<", "template", None, True),
        ("user", "message", "messages[1].role", True),
        (">", "template", None, True),
        ("Hi", "message", "messages[1].content", True),
        ("\n\n", "default", None, False),
        ("there", "message", "messages[2].content", True),
        ("<", "template", None, True),
    ]
    assert pieces(found)[-3:] == [
        ("weather", "message", "messages[3].tool_calls[0].function.name", True),
        ('{"city":"Graz"}', "message", "messages[3].tool_calls[0].function.arguments", False),
        (found.text[found.spans[-1].start :], "tool", "tools", False),
    ]
    assert [(s.line, s.column) for s in found.spans[:3]] == [(1, 17), (1, 21), (1, 31)]
    assert "".join(text for text, *_ in pieces(found)) == found.text


def test_an_old_template_has_its_origins_in_every_exchange() -> None:
    source = "{{ .System }}U:{{ .Prompt }} A:{{ .Response }}|"
    found = rendered(source, {"role": "system", "content": "S"}, USER, {"role": "assistant", "content": "Yo"}, USER)
    paths = ["messages[0].content", "messages[1].content", "messages[2].content", "messages[3].content"]
    assert [path for _, origin, path, _ in pieces(found) if origin == "message"] == paths
    assert not [span for span in found.spans if span.origin == "unknown"]


def test_what_cannot_be_told_is_unknown_and_the_text_is_what_it_was() -> None:
    found = rendered('{{ range .Messages }}{{ printf "%q" .Content }}{{ slice .Content 1 }}{{ end }}!')
    assert pieces(found) == [
        ('"Hi"', "unknown", None, False),
        ("i", "unknown", None, False),
        ("!", "template", None, True),
    ]
    marked = rendered(
        "{{ range .Messages }}{{ .Content }}{{ end }}", {"role": "user", "content": "a\ue0000 text \ue001b"}
    )
    assert [span.origin for span in marked.spans] == ["unknown"]
    assert marked.notes == ("origins are unknown: the template could not be followed",)
    assert marked.text == "a\ue0000 text \ue001b"


def test_a_text_is_not_lost_where_following_its_origins_takes_too_long() -> None:
    """The plain run is within its limit, the one with marks is not."""
    source = (
        "{{ range .Messages }}{{ range 2000 }}{{ range $.Messages }}"
        + "{{ .Content }}" * 40
        + "{{ end }}{{ end }}{{ end }}"
    )
    found = rendered(source, {"role": "user", "content": "x"})
    assert found.text == "x" * 80_000
    assert {span.origin for span in found.spans} == {"unknown"}
    assert any("origins are unknown" in note for note in found.notes)


def test_what_a_modelfile_adds_is_the_engines_and_no_line_of_another_text_is_named() -> None:
    text = (
        'FROM x\nSYSTEM be nice\nMESSAGE user before\nTEMPLATE """{{ range .Messages }}<{{ .Content }}>{{ end }}"""\n'
    )
    found = rendered(text, {"role": "assistant", "content": "Yo"})
    written = [(text, origin, path) for text, origin, path, _ in pieces(found) if origin != "template"]
    assert written == [
        ("be nice", "default", None),
        ("before", "default", None),
        ("Yo", "message", "messages[0].content"),
    ]
    assert {span.line for span in found.spans} == {None}


def test_origins_of_jinja_that_is_left_to_llama_cpp_are_those_of_the_request_as_sent() -> None:
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ m.reasoning_content }}, unlike any template that was ever known by name, by a hundred characters{% endfor %}"
    parts = [{"type": "text", "text": "aa"}, {"type": "text", "text": "bb"}]
    found = rendered(
        source, {"role": "user", "content": parts}, {"role": "assistant", "content": "ok", "reasoning": "hm"}, USER
    )
    assert [
        (text, path) for text, origin, path, _ in pieces(found) if origin == "message" and not path.endswith("role")
    ] == [
        ("aa", "messages[0].content[0].text"),
        ("bb", "messages[0].content[1].text"),
        ("ok", "messages[1].content"),
        ("hm", "messages[1].reasoning"),
        ("Hi", "messages[2].content"),
    ]


def test_a_tool_prints_as_json_with_what_nested_properties_require() -> None:
    nested = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    parameters = {"type": "object", "properties": {"x": nested}}
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": parameters}}
    found = rendered("{{ range .Tools }}{{ . }}{{ end }}{{ range .Messages }}{{ end }}", tools=[tool])
    assert json.loads(found.text or "")["function"]["parameters"]["properties"]["x"] == nested


def test_an_image_is_a_mark_with_its_number() -> None:
    parts = [{"type": "text", "text": "a"}, IMAGE, IMAGE]
    found = rendered("{{ range .Messages }}{{ .Content }}{{ end }}", {"role": "user", "content": parts})
    assert found.text == "a\n\n[img-0]\n\n[img-1]"
    assert "messages[0].content[1]: [img-0] stands in its place" in found.rewrites
    jinja = "{% for m in messages %}<{{ m.content }}>, unlike any template that was ever known by name, by more than a hundred characters{% endfor %}"
    left = rendered(jinja, {"role": "user", "content": parts})
    assert "[img" not in (left.text or "")
    assert left.rewrites[:2] == (
        "messages[0].content: each part becomes a message of its own",
        "messages[0].content[1]: not evaluated, what llama.cpp writes for it",
    )
    remote = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    assert "data: URL" in rendered("{{ .Prompt }}", {"role": "user", "content": [remote]}).error.message
    for url in (None, 5, {"url": None}, []):
        body = {"role": "user", "content": [{"type": "image_url", "image_url": url}]}
        assert rendered("{{ .Prompt }}", body).error.type == "RequestError"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"reasoning_effort": "minimal"}, "true low"),
        ({"reasoning_effort": "xhigh"}, "true max"),
        ({"reasoning_effort": "none"}, "false "),
        ({"think": True}, "true medium"),
        ({"think": "max"}, "true max"),
        ({"think": "much"}, None),
        ({"reasoning_effort": "much"}, None),
        ({"reasoning_effort": ["low"]}, None),
    ],
)
def test_how_much_it_thinks(more: dict[str, Any], text: str | None) -> None:
    found = rendered("{{ .Think }} {{ .ThinkLevel }}{{ range .Messages }}{{ end }}", **more)
    assert found.text == text
    assert (found.error is None) == (text is not None)


def test_a_modelfiles_system_text_hangs_on_how_the_request_begins() -> None:
    text = (
        "FROM x\nSYSTEM own\nMESSAGE system before\nTEMPLATE {{ range .Messages }}[{{ .Role }}:{{ .Content }}]{{ end }}"
    )
    assert rendered(text).text == "[system:own\n\nbefore][user:Hi]"
    assert rendered(text, {"role": "system", "content": "S"}, USER).text == "[system:before\n\nS][user:Hi]"
    assert choose("# first\nREQUIRES 0.14\nFROM x\nTEMPLATE {{ .Prompt }}").template == "{{ .Prompt }}"
