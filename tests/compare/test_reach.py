"""Who has how much of a prompt, and what of the request is not in it."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.compare.reach import Reach, reach
from workbench.conversation import Conversation
from workbench.engines import Template, render

TURNS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {}}}}
CALL = {
    "role": "assistant",
    "content": "",
    "reasoning_content": "hm",
    "tool_calls": [{"id": "1", "function": {"name": "read", "arguments": {}}}],
}
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def of(source: str, messages: list[Any], *, engine: str = "transformers", **more: Any) -> Reach:
    conversation = Conversation.from_dict({"messages": messages, **more})
    found = reach(conversation, render(conversation, Template(source), engine=engine))
    assert found is not None
    return found


def test_every_character_belongs_to_somebody() -> None:
    found = of(TURNS, ASK)
    assert [(share.name, share.characters) for share in found.shares] == [
        ("template", 4),
        ("system (messages[0])", 15),
        ("user (messages[1])", 6),
        ("asks for the answer", 11),
    ]
    assert found.missing == ()
    assert found.known


def test_what_is_not_in_the_prompt_is_named() -> None:
    found = of(TURNS, [*ASK, CALL], tools=[TOOL], documents=[{"text": "x"}])
    assert [part.path for part in found.missing] == [
        "messages[2].reasoning_content",
        "messages[2].tool_calls[0]",
        "tools[0]",
        "documents[0]",
    ]
    assert [part.words for part in found.missing][1:3] == ["the call of read", "the tool read"]


def test_a_dump_holds_what_is_in_it() -> None:
    assert of("{{ messages | tojson }}{{ tools | tojson }}", [*ASK, CALL], tools=[TOOL]).missing == ()


def test_a_dropped_system_message_and_image() -> None:
    source = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    assert [part.words for part in of(source, ASK).missing] == ["the system message's text"]
    image = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}]
    found = of("{{ messages[0].content }}!", [{"role": "user", "content": image}], engine="llama.cpp")
    assert [part.words for part in found.missing] == ["a part of type image_url"]


def test_the_view_names_both() -> None:
    shown = of(TURNS, ASK, tools=[TOOL])._repr_html_()
    assert "Where the prompt goes" in shown
    assert "the tool read (tools[0])" in shown


def test_without_origins_nothing_is_claimed() -> None:
    conversation = Conversation.from_dict({"messages": ASK})
    assert reach(conversation, render(conversation, Template("{{ 1 / 0 }}"))) is None
    assert reach(conversation, render(conversation, Template(TURNS), track=False)) is None


@pytest.mark.parametrize("odd", [{"tool_calls": 5}, {"tool_calls": [{"function": "f"}]}, {"tool_calls": [None]}])
def test_odd_requests_are_counted_too(odd: dict[str, Any]) -> None:
    found = of(TURNS, [*ASK, {"role": "assistant", "content": "x", **odd}], tools=[{"function": "f"}])
    assert found.missing[-1].words == "the tool without a name"


def test_the_end_of_a_turn_asks_for_nothing() -> None:
    source = (
        "{% for m in messages %}{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    assert [share.name for share in of(source, ASK, add_generation_prompt=False).shares][-1] != "asks for the answer"
    asked = of(source, ASK).shares[-1]
    assert (asked.name, asked.characters) == ("asks for the answer", 11)
