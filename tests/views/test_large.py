"""Values that are large: what a screen shows of them is bounded and says what is cut, what a script gets is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from workbench.cli.output import SHOWN_CHARACTERS, SHOWN_LINES, SHOWN_ROWS, block
from workbench.cli.render import describe
from workbench.compare.fields import Measured
from workbench.compare.reach import reach
from workbench.compare.renders import Absent, Renders
from workbench.compare.text import differences
from workbench.conversation import Conversation
from workbench.stages import Rendered, RenderError, Span
from workbench.values import shared_start
from workbench.views import LIMIT_PAGE, html_of

LARGE = 5_000_000
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"a": {}}}}}
BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "one message": lambda: {"messages": [user('<b> & "x" ' * (LARGE // 10))]},
    "many messages": lambda: {"messages": [user(f"message {i}") for i in range(20_000)]},
    "many tools": lambda: {"messages": [user("Hi")], "tools": [TOOL] * 5_000},
    "emoji": lambda: {"messages": [user("👩‍🚀🎉" * 80_000)]},
    "short lines": lambda: {"messages": [user("\n".join(map(str, range(100_000))))]},
    "many fields": lambda: {"messages": [user("Hi") | {f"f{i}": "<" * 99 for i in range(20_000)}]},
    "many unknown fields": lambda: {"messages": [user("Hi")], **{f"field {i}": "<" * 99 for i in range(20_000)}},
    "long names": lambda: {"messages": [user("Hi") | {"<" * 1_000_000: 1}], "<" * 1_000_000: 2},
}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def rendered(conversation: Conversation) -> Rendered:
    """Each message between two marks of the template, with its spans."""
    parts, spans, at = [], [], 0
    for index, message in enumerate(conversation.messages):
        for path, text in ((None, "<|user|>"), (f"messages[{index}].content", message["content"]), (None, "\n")):
            spans.append(Span(at, at + len(text), "message" if path else "template", path, 1, 1, True, 0))
            parts.append(text)
            at += len(text)
    return Rendered("transformers", "0", "".join(parts), spans=tuple(spans))


@pytest.mark.parametrize("kind", list(BODIES))
def test_what_is_shown_is_bounded_and_says_what_is_cut(kind: str) -> None:
    conversation = Conversation.from_dict(BODIES[kind]())
    one = rendered(conversation)
    both = Renders((one, Rendered("ollama", "0", "x" + (one.text or "")[:-9] + "\n")), (Absent("llama.cpp", "no"),))
    for value in (conversation, one, both, reach(conversation, one)):
        page = html_of(value)
        assert len(page) < LIMIT_PAGE / 4, type(value)
        assert "too large to be shown" not in page, type(value)
    assert (
        "not shown" in html_of(conversation)
        or "more characters" in html_of(conversation)
        or "(+" in html_of(conversation)
    )
    lines = describe(one, Measured(one.engine, (), reach(conversation, one)))
    assert len(lines) < SHOWN_LINES + 6 * SHOWN_ROWS
    assert sum(map(len, lines)) < 4 * SHOWN_CHARACTERS
    assert len(json.dumps(conversation.to_dict())) > 150_000
    assert both.to_dict()["renders"][0]["text"] == one.text


def test_a_long_text_is_shown_with_its_end_and_a_count() -> None:
    text = "\n".join(f"line {i}" for i in range(100_000))
    lines = block(text)
    assert lines[0] == "  │line 0"
    assert lines[-1] == "  │line 99999"
    left = next(line for line in lines if "not shown" in line)
    shown = sum(len(line) - 3 for line in lines if "│" in line) + len(lines) - 3
    assert f"{len(text) - shown:,} characters between" in left
    assert "--json has them all" in left
    assert block("a\n b\n") == ["  │a", "  │ b", "  │"]


def test_errors_notes_and_rewrites_are_cut_with_a_count() -> None:
    error = RenderError("TemplateError", "<" * LARGE)
    assert len(html_of(Rendered("transformers", "0", None, error))) < LIMIT_PAGE / 4
    many = Rendered("llama.cpp", "0", "x", rewrites=("y" * 100_000,) * 5_000, notes=("<" * 100_000,) * 5_000)
    page = html_of(many)
    assert len(page) < LIMIT_PAGE
    assert "4,900 more remarks not shown (of 5,000)" in page
    lines = describe(many, Measured(many.engine, (), reach(Conversation.from_dict({"messages": [user("Hi")]}), many)))
    assert any("more rewrites; --json has them all" in line for line in lines)


def test_a_view_that_makes_too_much_gives_way_to_the_short_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.views.LIMIT_PAGE", 1_000)
    page = html_of(Conversation.from_dict({"messages": [user("Hi" * 600)]}))
    assert "too large to be shown" in page
    assert "Conversation(1 messages" in page
    assert "to_dict() and to_frame() have the whole" in page


def test_what_reached_the_prompt_is_found_among_many_messages() -> None:
    conversation = Conversation.from_dict(BODIES["many messages"]())
    whole = rendered(conversation)
    found = reach(conversation, Rendered("transformers", "0", whole.text, spans=whole.spans[:-3]))
    assert found is not None
    assert [part.path for part in found.missing] == ["messages[19999].content"]


def test_texts_that_are_too_long_to_be_taken_apart_are_one_difference() -> None:
    a, b = "a" + "x " * 2_000_000 + "b", "a" + "y " * 2_000_000 + "b"
    assert [at[:] for at in differences(a, b)] == [(1, len(a) - 2, 1, len(b) - 2)]
    for at in (0, 1, 4_095, 4_096, 4_097, 9_000):
        one = "x" * at
        assert shared_start(one + "a" * 5_000, one + "b" * 9_000) == at
        assert shared_start(one, one + "b") == at
