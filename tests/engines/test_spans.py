"""Where each character came from: by hand for what is known, by laws for every template and conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines.conversations import ARGUMENTS, CONVERSATIONS
from tests.engines.replacement import CLOCK
from tests.engines.templates import OWN, SPECIAL, TEMPLATES
from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.positions import SourceMap
from workbench.stages import Rendered, Span

# Own templates that use what cannot be followed, on purpose.
LOSSY = {"own: filters that lose", "own: strings taken apart", "own: values of every kind", "own: documents"}


def rendered(source: str, body: dict[str, Any] | None = None) -> Rendered:
    conversation = Conversation.from_dict(body or CONVERSATIONS["system"])
    result = render(conversation, Template(source, special_tokens=SPECIAL), clock=CLOCK)
    assert result.error is None, result.error
    return result


def pieces(result: Rendered) -> list[tuple[str, str, str | None, bool]]:
    text = result.text or ""
    return [(text[s.start : s.end], s.origin, s.path, s.verbatim) for s in result.spans]


def field_at(body: dict[str, Any], path: str) -> Any:
    value: Any = body
    for key, index, quoted in re.findall(r"([^.\[\]\"]+)|\[(\d+)\]|\[\"([^\"]*)\"\]", path):
        value = value[int(index)] if index else value[key or quoted]
    return value


def lawful(result: Rendered, source: str, body: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the spans, in words."""
    source_map = SourceMap(source)
    lines = source_map.text.split("\n")
    text = result.text or ""
    for span in result.spans:
        part = text[span.start : span.end]
        if span.origin == "template" and span.verbatim:
            at = sum(len(line) + 1 for line in lines[: (span.line or 0) - 1]) + (span.column or 0) - 1
            if source_map.text[at : at + len(part)] != part:
                yield f"the template has no {part!r} at {span.line}:{span.column}"
        if span.origin in ("message", "tool") and span.verbatim:
            field = field_at(body, _original(body, span))
            if field[span.offset : (span.offset or 0) + len(part)] != part:
                yield f"{span.path} has no {part!r} at {span.offset}"
        if span.origin in ("message", "tool", "default") and span.line is None:
            yield f"no place in the template for {span}"
        if not part:
            yield f"an empty span {span}"


def _original(_body: dict[str, Any], span: Span) -> str:
    return span.path or ""


@pytest.mark.parametrize("name", TEMPLATES)
def test_spans_are_true_for_every_conversation(name: str) -> None:
    unknown = total = 0
    for case, body in CONVERSATIONS.items():
        result = render(Conversation.from_dict(body), Template(TEMPLATES[name], special_tokens=SPECIAL), clock=CLOCK)
        if result.text is None:
            continue
        assert list(lawful(result, TEMPLATES[name], body)) == [], case
        unknown += sum(s.end - s.start for s in result.spans if s.origin == "unknown")
        total += len(result.text)
    if name not in LOSSY:
        assert unknown <= 0.01 * total, f"{unknown} of {total} characters have no origin"


def test_literals_fields_and_tokens() -> None:
    result = rendered("{{ bos_token }}<{{ messages[0].role }}>\n{{ messages[1]['content'] | trim }}")
    assert pieces(result) == [
        ("<s>", "default", "bos_token", True),
        ("<", "template", None, True),
        ("system", "message", "messages[0].role", True),
        (">\n", "template", None, True),
        ("Hello there", "message", "messages[1].content", True),
    ]
    assert [(s.line, s.column) for s in result.spans] == [(1, 4), (1, 16), (1, 20), (1, 39), (2, 4)]


def test_stripped_text_starts_at_its_offset() -> None:
    result = rendered("{{ messages[0].content.strip() }}", {"messages": [{"role": "user", "content": " \n hi "}]})
    assert [(s.offset, s.verbatim) for s in result.spans] == [(3, True)]


def test_changed_case_is_not_verbatim_and_unchanged_case_is() -> None:
    body = {"messages": [{"role": "user", "content": "straße"}]}
    assert pieces(rendered("{{ messages[0].content | upper }}", body)) == [
        ("STRASSE", "message", "messages[0].content", False)
    ]
    assert pieces(rendered("{{ messages[0].content | lower }}", body)) == [
        ("straße", "message", "messages[0].content", True)
    ]


def test_an_escape_stands_at_its_own_place() -> None:
    result = rendered(r"{{ 'ab\ncd' }}")
    assert pieces(result) == [
        ("ab", "template", None, True),
        ("\n", "template", None, False),
        ("cd", "template", None, True),
    ]
    assert [(s.line, s.column) for s in result.spans] == [(1, 5), (1, 7), (1, 9)]


def test_tools_as_json_are_the_tool_and_no_deeper() -> None:
    result = rendered("{{ tools | tojson }}", CONVERSATIONS["tools"])
    assert {(s.origin, s.path, s.verbatim) for s in result.spans} == {
        ("tool", "tools", False),
        ("tool", "tools[0]", False),
        ("tool", "tools[1]", False),
    }
    result = rendered("{{ tools[0].function.parameters | tojson }}", CONVERSATIONS["tools"])
    assert {(s.origin, s.path, s.verbatim) for s in result.spans} == {("tool", "tools[0]", False)}


def test_a_tools_field_printed_as_it_is_has_its_own_path() -> None:
    result = rendered("{{ tools[0].function.name }}", CONVERSATIONS["tools"])
    assert pieces(result) == [("get_weather", "tool", "tools[0].function.name", True)]


def test_arguments_as_json_are_the_arguments_and_no_deeper() -> None:
    body = CONVERSATIONS["tool-round-trip"]
    path = "messages[2].tool_calls[0].function.arguments"
    for source in ("messages[2].tool_calls[0].function.arguments", "messages[2].tool_calls[0].function.arguments.at"):
        result = rendered("{{ " + source + " | tojson }}", body)
        assert {(s.origin, s.path, s.verbatim) for s in result.spans} == {("message", path, False)}
    result = rendered("{{ messages[2] | tojson }}", body)
    assert {s.path for s in result.spans if (s.path or "").startswith(path)} == {path}


def test_a_message_dumped_whole_has_the_paths_of_its_fields() -> None:
    assert pieces(rendered("{{ messages[0] | tojson }}")) == [
        ('{"role": ', "message", "messages[0]", False),
        ('"system"', "message", "messages[0].role", False),
        (', "content": ', "message", "messages[0]", False),
        ('"You answer briefly."', "message", "messages[0].content", False),
        ("}", "message", "messages[0]", False),
    ]


@pytest.mark.parametrize(
    ("value", "printed"), [(None, "None"), (True, "True"), (False, "False"), (3, "3"), (0.5, "0.5")]
)
@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].extra.x }}",
        "{% set v = messages[0].extra.x %}{{ v }}",
        "{{ messages[0].extra.x ~ '' }}",
        "{{ messages[0].extra.x | string }}",
        "{{ '%s' % messages[0].extra.x }}",
        "{{ '%s' | format(messages[0].extra.x) }}",
        "{{ '{}'.format(messages[0].extra.x) }}",
        "{{ messages[0].extra.values() | join }}",
    ],
)
def test_values_that_are_no_text_keep_their_field(source: str, value: Any, printed: str) -> None:
    body = {"messages": [{"role": "user", "extra": {"x": value}}]}
    assert pieces(rendered(source, body)) == [(printed, "message", "messages[0].extra.x", False)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ loop }}", None),
        ("{% for m in messages %}{{ loop.index }}{% endfor %}", ("template", None)),
        ("{{ messages | length + 1 }}", ("message", "messages")),
        ("{{ messages[1].content.find('t') }}", ("unknown", None)),
        ("{{ messages[1].content == 'x' }}", ("unknown", None)),
        ("{{ messages[1].content | urlencode }}", ("unknown", None)),
        ("{{ '12' | int }}", ("template", None)),
        ("{{ messages[1].content | wordcount }}", ("unknown", None)),
        ("{{ strftime_now('%Y') }}", ("default", "strftime_now")),
    ],
)
def test_computed_values_say_no_more_than_is_true(source: str, expected: tuple[str, str | None] | None) -> None:
    result = render(Conversation.from_dict(CONVERSATIONS["system"]), Template(source), clock=CLOCK)
    if expected is not None:
        assert {(s.origin, s.path) for s in result.spans} == {expected}
        assert not any(s.verbatim for s in result.spans if s.path is None)


def test_numbers_computed_from_a_field_are_that_fields() -> None:
    body = {"messages": [{"role": "user", "n": 20, "f": 1.5}]}
    path = "messages[0].n"
    for source in (
        "n + 1",
        "1 + n",
        "-n",
        "n // 3",
        "n * 2.5",
        "n ** 2",
        "n | abs",
        "n | round",
        "(n + 1) | int",
        "7 % n",
    ):
        expression = re.sub(r"\bn\b", path, source)
        assert {(s.origin, s.path) for s in rendered("{{ " + expression + " }}", body).spans} == {("message", path)}, (
            source
        )
    assert {s.origin for s in rendered("{{ messages[0].n + messages[0].f }}", body).spans} == {"unknown"}


def test_documents_and_template_arguments_are_the_requests() -> None:
    body = CONVERSATIONS["documents"] | {"chat_template_kwargs": {"effort": "high", "bos_token": "<B>"}}
    result = rendered("{{ documents[1].text }}{{ effort }}{{ bos_token }}{{ eos_token }}", body)
    assert pieces(result) == [
        ('Fire "burns".\n', "message", "documents[1].text", True),
        ("high", "message", "chat_template_kwargs.effort", True),
        ("<B>", "message", "chat_template_kwargs.bos_token", True),
        ("</s>", "default", "eos_token", True),
    ]


def test_the_inner_expression_wrote_it() -> None:
    source = "{% macro say(x) %}\n{{ x }}\n{% endmacro %}\n{% set t = say(messages[1].content) %}\n{{ t }}"
    spans = [s for s in rendered(source).spans if s.origin == "message"]
    assert [(s.line, s.column) for s in spans] == [(2, 4)]


def test_reasoning_under_another_name_is_the_field_that_was_sent() -> None:
    body = CONVERSATIONS["reasoning-by-its-other-name"]
    result = rendered("{{ messages[1].reasoning_content }}", body)
    assert pieces(result) == [("Greet back.", "message", "messages[1].reasoning", True)]
    assert any("messages[1].reasoning_content" in rewrite for rewrite in result.rewrites)


def test_null_fields_are_left_out_and_listed() -> None:
    result = rendered("{{ messages[1].keys() | list }}", CONVERSATIONS["null-content"])
    assert result.text == "['role']"
    assert result.rewrites == ("messages[1].content: null, the field is left out",)


def test_without_tracking_the_text_is_the_same_and_nothing_is_claimed() -> None:
    conversation = Conversation.from_dict(CONVERSATIONS["system"])
    plain = render(conversation, Template(OWN["own: chatml"]), track=False)
    assert plain.text == render(conversation, Template(OWN["own: chatml"])).text
    assert [s.origin for s in plain.spans] == ["unknown"]
    assert plain.notes


def test_escaping_is_not_followed_and_says_so() -> None:
    result = rendered("{% autoescape true %}{{ messages[1].content }}{% endautoescape %}")
    assert {s.origin for s in result.spans} == {"unknown"}
    assert any("escaping" in note for note in result.notes)


def test_random_choices_are_the_same_in_both_runs() -> None:
    result = rendered("{{ messages | map(attribute='content') | list | random }}{{ range(1000) | random }}")
    assert [note for note in result.notes if "at random" not in note] == []


def test_the_clock_is_an_input_and_told() -> None:
    body = Conversation.from_dict(CONVERSATIONS["system"])
    fixed = render(body, Template("{{ strftime_now('%d.%m.%Y %H:%M') }}"), clock="2024-07-26")
    assert fixed.text == "26.07.2024 00:00"
    assert any("2024-07-26T00:00:00" in note for note in fixed.notes)
    now = render(body, Template("{{ strftime_now('%Y') }}"))
    assert any("(now)" in note for note in now.notes)
    assert render(body, Template("no clock")).notes == ()


def test_hostile_characters_pass_unchanged() -> None:
    text = "a\x00b\ud800c\udfff\r\n\u2028\U0010ffff"
    result = rendered("{{ messages[0].content }}", {"messages": [{"role": "user", "content": text}]})
    assert result.text == text
    assert pieces(result) == [(text, "message", "messages[0].content", True)]


def test_odd_keys_have_a_readable_path() -> None:
    body = {"messages": [{"role": "user", "a b": {"c.d": "x"}}]}
    assert pieces(rendered("{{ messages[0]['a b']['c.d'] }}", body)) == [
        ("x", "message", 'messages[0]["a b"]["c.d"]', True)
    ]


def test_arguments_printed_one_by_one_have_their_own_paths() -> None:
    result = rendered(
        "{% for k, v in messages[2].tool_calls[0].function.arguments.items() %}{{ k }}={{ v }} {% endfor %}",
        CONVERSATIONS["tool-round-trip"],
    )
    base = "messages[2].tool_calls[0].function.arguments"
    assert ("city", "message", base, False) in pieces(result)
    assert ("Graz", "message", f"{base}.city", True) in pieces(result)
    assert {path for _, origin, path, _ in pieces(result) if origin == "message"} >= {
        f"{base}.{k}" for k in ARGUMENTS if k != "at"
    }


HTML = {"messages": [{"role": "user", "content": "a<b"}, {"role": "assistant", "content": "zz"}]}


@pytest.mark.parametrize(
    "expression",
    [
        "'<i>' + messages[0].content|safe",
        "('%s<'|safe) % messages[0].content",
        "('{}<'|safe).format(messages[0].content)",
        "('<' + (messages[0].content|safe)[0])",
        "[messages[0].content|safe]",
        "messages[0].content|safe|map('upper')|map('e')|join('<')",
    ],
)
def test_what_is_marked_safe_costs_its_own_origins_only(expression: str) -> None:
    source = "A{{ " + expression + " }}B{{ messages[1].content }}C"
    result = rendered(source, HTML)
    assert list(lawful(result, source, HTML)) == []
    found = pieces(result)
    assert found[0] == ("A", "template", None, True)
    assert found[-3:] == [
        ("B", "template", None, True),
        ("zz", "message", "messages[1].content", True),
        ("C", "template", None, True),
    ]
    outputs = [(result.text or "")[e.start : e.end] for e in result.events if e.kind == "output"]
    assert outputs == [(result.text or "")[1:-4], "zz"]


def test_a_loop_over_safe_text_keeps_the_rest() -> None:
    source = "{% for c in messages[0].content|safe %}{{ '<' + c }}-{{ c }}{% endfor %}"
    result = rendered(source, HTML)
    assert list(lawful(result, source, HTML)) == []
    known = [piece[:2] for piece in pieces(result) if piece[1] != "unknown"]
    assert known == [(c, "template" if c == "-" else "message") for c in "-a-<-b"]
    assert any("some origins are unknown" in note for note in result.notes)


def test_braces_in_a_format_have_their_true_columns() -> None:
    source = """{{ '{{"s}}{s}s}}'.format(s=messages[0].content) }}"""
    result = rendered(source, HTML)
    assert list(lawful(result, source, HTML)) == []
    columns = [(text, span.column) for (text, *_), span in zip(pieces(result), result.spans, strict=True)]
    assert columns == [("{", 5), ('"s}', 7), ("a<b", 4), ("s}", 14)]


@pytest.mark.parametrize(
    ("expression", "origin", "path"),
    [
        ("messages[0].content|length", "message", "messages[0].content"),
        ("messages|count", "message", "messages"),
        ("messages[1:]|length", "unknown", None),
        ("(messages[0].content ~ bos_token)|length", "unknown", None),
        ("messages[0].content[9:]|length", "unknown", None),
        ("(messages[0].content == 'x')|int", "unknown", None),
        ("messages[0].content.count('a')", "unknown", None),
        ("messages.count(1)", "unknown", None),
        ("messages|map(attribute='content')|map('length')|sum", "unknown", None),
        ("'ab'|length", "template", None),
    ],
)
def test_numbers_computed_from_the_request_are_not_the_templates(
    expression: str, origin: str, path: str | None
) -> None:
    (piece,) = pieces(rendered("{{ " + expression + " }}", HTML))
    assert piece[1:] == (origin, path, False)


def test_how_long_a_loop_is_hangs_on_the_request() -> None:
    result = rendered("{% for m in messages %}{{ loop.index }}{{ loop.length }}{{ loop.revindex }}{% endfor %}", HTML)
    assert [piece[:2] for piece in pieces(result)] == [
        ("1", "template"), ("2", "unknown"), ("2", "unknown"), ("2", "template"), ("2", "unknown"), ("1", "unknown")
    ]  # fmt: skip
