"""What a template did, in order, with its places."""

from __future__ import annotations

from tests.engines.conversations import CONVERSATIONS
from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.record import MAX_EVENTS

TWO = Conversation.from_dict(CONVERSATIONS["system"])

SOURCE = """\
{% macro say(m) %}[{{ m.content }}]{% endmacro %}
{% set n = 0 %}
{% for m in messages %}
{% if m.role == 'user' %}{{ say(m) }}{% elif false %}{% endif %}
{% endfor %}
"""


def test_events_tell_branches_turns_assignments_and_calls() -> None:
    result = render(TWO, Template(SOURCE))
    assert [(e.kind, e.line, e.column, e.detail) for e in result.events] == [
        ("set", 2, 4, "n = 0"),
        ("loop", 3, 4, "turn 1"),
        ("if", 4, 4, "not taken"),
        ("if", 4, 46, "not taken"),
        ("loop", 3, 4, "turn 2"),
        ("if", 4, 4, "taken"),
        ("call", 4, 29, "macro say"),
        ("output", 1, 23, ""),
        ("output", 4, 29, ""),
    ]


def test_outputs_tell_what_they_wrote() -> None:
    result = render(TWO, Template(SOURCE))
    inner, outer = (e for e in result.events if e.kind == "output")
    assert (result.text or "")[inner.start : inner.end] == "Hello there"
    assert (result.text or "")[outer.start : outer.end] == "[Hello there]"


def test_a_set_shows_a_short_value() -> None:
    result = render(
        TWO, Template("{% set x = messages[0].content * 50 %}{% set y %}block{% endset %}{% set a, b = 1, messages %}")
    )
    details = [e.detail for e in result.events]
    assert details[0].startswith("x = 'You answer briefly.You")
    assert details[0].endswith("(950 characters)")
    assert details[1].startswith("y (a block)")
    assert details[2] == "a, b = 2 items"


def test_events_are_capped_and_the_rest_counted() -> None:
    result = render(TWO, Template(f"{{% for i in range({MAX_EVENTS + 10}) %}}{{% endfor %}}."))
    assert len(result.events) == MAX_EVENTS
    assert any("10 more events" in note for note in result.notes)


def test_an_error_is_the_last_event() -> None:
    result = render(TWO, Template("a\n{{ messages[0].role }}\n  {{ raise_exception('no') }}"))
    assert result.text is None
    assert (result.events[-1].kind, result.events[-1].line, result.events[-1].column) == ("error", 3, 6)
