"""Templates that are wrong, or mean harm: each is a result with its place, and the next render works."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.limits import LIMIT_S, Sandbox
from workbench.engines.transformers import sandbox
from workbench.stages import RenderError

HELLO = Conversation.from_dict({"messages": [{"role": "user", "content": "Hello"}]})


def error_of(source: str) -> RenderError:
    result = render(HELLO, Template(source))
    assert result.text is None
    assert result.spans == ()
    assert result.error is not None
    return result.error


def still_works() -> None:
    assert render(HELLO, Template("{{ messages[0].content }}")).text == "Hello"


@pytest.mark.parametrize(
    ("source", "kind", "line", "column"),
    [
        ("{{ 1 }", "TemplateSyntaxError", 1, 6),
        ("ab\n  {{ 1 @ 2 }}", "TemplateSyntaxError", 2, 8),
        ("{% for x in y %}\n", "TemplateSyntaxError", 1, 15),
        ("x\n{% if %}", "TemplateSyntaxError", 2, 7),
        ("x\n {{ a | nothing }}", "TemplateAssertionError", 2, 9),
        ("x\n {{ a is nothing }}", "TemplateAssertionError", 2, 7),
        ("{% unknown_tag %}", "TemplateSyntaxError", 1, 4),
        ("{# never closed", "TemplateSyntaxError", 1, 4),
        ("x\n\n   {{ raise_exception('no') }}", "TemplateError", 3, 7),
        ("{{ a.b }}", "UndefinedError", 1, 4),
        ("x\n{% if true %}{{ messages[7].content }}{% endif %}", "UndefinedError", 2, 17),
        ("{{ ''.__class__.__mro__ }}", "SecurityError", 1, 4),
        ("{{ messages.append(1) }}", "SecurityError", 1, 4),
        ("\n{{ 'a' + 1 }}", "TypeError", 2, 4),
        ("{% set x = 1 / 0 %}", "ZeroDivisionError", 1, 4),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError", 1, 19),
        ("{{ range(10 ** 6) }}", "OverflowError", 1, 4),
    ],
)
def test_errors_have_their_place(source: str, kind: str, line: int, column: int) -> None:
    error = error_of(source)
    assert (error.type, error.line, error.column) == (kind, line, column), error
    assert error.message
    still_works()


LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
SLOW = {
    "a loop without end": LOOP,
    "a power that takes for ever": "{{ 10 ** (10 ** 9) }}",
    "a power of powers": "{{ 9 ** (9 ** 9) }}",
    "a string that doubles": "{% set ns = namespace(x='a') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "ten billion characters": "{{ 'a' * 10 ** 10 }}",
    "a replacement that grows": "{{ ('a' * 10 ** 6).replace('a', 'b' * 10 ** 5) }}",
    "a list of lists": "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a wide format": "{{ '%9999999999d' % 1 }}",
    "a wide centre": "{{ 'x' | center(10 ** 10) }}",
    "a huge output": "{% for i in range(99999) %}{{ 'abcdefghij' * 10000 }}{% endfor %}",
    "a huge range": "{{ range(99999) | map('string') | map('center', 99999) | list }}",
    "a huge join": "{{ (['a'] * 10 ** 7) | join('b' * 1000) }}",
    "a huge JSON": "{{ ([['a'] * 1000] * 100000) | tojson }}",
}


@pytest.mark.waits
@pytest.mark.parametrize("name", SLOW)
def test_limits_hold_and_the_next_render_works(name: str) -> None:
    still_works()  # the process is there: starting one is no part of a render
    before = worked_s(sandbox())
    ended_before = ended_s()
    error = error_of(SLOW[name])
    took_s = max(ended_s() - ended_before, worked_s(sandbox())) - before
    assert error.type in ("TimeLimit", "MemoryLimit", "OverflowError", "ValueError"), error
    if error.type.endswith("Limit"):
        assert "limit for one render" in error.message
    assert took_s < LIMIT_S + 0.5
    still_works()


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
        "{{ " + "[" * 500 + "]" * 500 + " }}",
        "{{ " + "not " * 5000 + "1 }}",
        "{{ " + "-" * 5000 + "1 }}",
        "{{ " + "a." * 5000 + "b }}",
        "{{ " + "1 + " * 20000 + "1 }}",
        "{% for x in y %}" * 30 + "{% endfor %}" * 30,
        "{% if x %}" * 200 + "{% endif %}" * 200,
        "{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
    ],
)
def test_deep_nesting_never_takes_the_kernel(source: str) -> None:
    result = render(HELLO, Template(source))
    assert result.error is not None or result.text is not None
    still_works()


@pytest.mark.waits
def test_a_slow_second_pass_does_not_cost_the_text() -> None:
    """Backwards through 40,000 pieces: milliseconds for the text alone, minutes with origins, whatever the machine."""
    still_works()
    result = render(HELLO, Template("{% set t = (messages[0].content * 40000)[::-1] %}{{ t[:5] }} {{ t | length }}"))
    assert result.text == "olleH 200000"
    assert [span.origin for span in result.spans] == ["unknown"]
    assert "2 s" in result.notes[0]
    still_works()


def ended_s() -> float:
    """The seconds that all processes which have ended had a processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def worked_s(box: Sandbox) -> float:
    """The seconds that the process has had a processor, 0 where it has ended."""
    if box.pid is None:
        return 0.0
    fields = Path(f"/proc/{box.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "big", ["x" * 5_000_000, "日本語 " * 1_250_000, '"\\\n👩' * 1_250_000], ids=["plain", "cjk", "escapes"]
)
@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}</s>{% endfor %}",
        "{{ messages | tojson }}",
        "{% set c = messages[0].content.split('</think>')[-1].lstrip('\\n') %}{{ 'a' ~ c + 'b' }}",
    ],
)
def test_five_megabytes_render_with_spans_within_the_limit(big: str, source: str) -> None:
    conversation = Conversation.from_dict({"messages": [{"role": "user", "content": big}]})
    result = render(conversation, Template(source))
    assert result.error is None
    assert result.notes == ()
    assert max(result.spans, key=lambda span: span.end - span.start).path == "messages[0].content"


@pytest.mark.waits
def test_a_message_for_each_error_is_one_a_user_can_read() -> None:
    assert error_of(LOOP).message == "stopped after 2 s, the limit for one render"
    assert error_of("{{ 'a' * 10 ** 10 }}").message == "stopped at 512 MiB, the memory limit for one render"


def test_values_of_one_render_do_not_reach_the_next() -> None:
    first: Any = render(HELLO, Template("{% set x = 'secret' %}{{ x }}"))
    assert first.text == "secret"
    assert render(HELLO, Template("{{ x }}")).text == ""


@pytest.mark.parametrize(
    "body",
    [
        {"tools": ["notdict"]},
        {"documents": ["notdict"]},
        {"chat_template_kwargs": {"messages": 1}},
        {"chat_template_kwargs": {"tokenize": 1}},
    ],
)
def test_a_request_that_no_template_sees_has_no_place_and_no_events(body: dict[str, Any]) -> None:
    source = "x\n  {% for m in messages %}{{ m.content }}{% endfor %}"
    assert render(HELLO, Template(source)).events
    result = render(
        Conversation.from_dict({"messages": [{"role": "user", "content": "Hello"}], **body}), Template(source)
    )
    assert result.error
    assert (result.error.line, result.error.column, result.events) == (None, None, ())


@pytest.mark.parametrize(
    "source",
    ["{% for x in y %}" * 25 + "{% endfor %}" * 25, "{% if x %}" * 110 + "{% endif %}" * 110],
    ids=["for", "if"],
)
def test_nesting_that_python_refuses_has_a_message_and_no_false_place(source: str) -> None:
    error = error_of(source)
    assert (error.line, error.column) == (None, None)
    assert error.message.startswith("the template is nested too deeply")
    assert "line" not in error.message


def test_a_message_that_is_cut_says_so() -> None:
    message = error_of("{{ raise_exception('y' * 200000) }}").message
    assert message.startswith("y" * 100_000)
    assert message.endswith("y… (cut: the message has 200,000 characters)")


def test_chance_is_told() -> None:
    result = render(HELLO, Template("{{ [1, 2, 3] | random }}"))
    assert any("at random" in note for note in result.notes)
    assert render(HELLO, Template("{{ 'random' }}")).notes == ()
