"""Who has how much of a prompt, and what of the request is not in it."""

# ruff: noqa: E501  templates are written as their authors write them

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


def test_without_a_prompt_nothing_is_claimed() -> None:
    conversation = Conversation.from_dict({"messages": ASK})
    assert reach(conversation, render(conversation, Template("{{ 1 / 0 }}"))) is None


def untracked(source: str, content: str) -> Reach:
    conversation = Conversation.from_dict({"messages": [{"role": "user", "content": content}]})
    found = reach(conversation, render(conversation, Template(source), track=False))
    assert found is not None
    assert not found.known
    return found


LONG = "Never touch the folder build/ and answer in one line."


def test_without_origins_the_text_is_searched_for() -> None:
    assert untracked("{{ messages[0].content | tojson }}", 'a "long" text\nof two lines').missing == ()
    (cut,) = untracked("{{ messages[0].content[:20] }}", LONG).missing
    assert (cut.characters, cut.size, cut.first) == (33, 53, LONG[20:])
    (gone,) = untracked("nothing of it", LONG).missing
    assert (gone.characters, gone.first) == (53, LONG)


def test_without_origins_a_short_text_that_is_not_found_is_not_evaluated() -> None:
    found = untracked("{{ messages[0].content | length }}", "Hi")
    assert (found.missing, [part.path for part in found.untold]) == ((), ["messages[0].content"])


@pytest.mark.parametrize(
    ("source", "characters", "first", "last"),
    [
        ("{{ messages[0].content[:12] }}", 41, LONG[12:], LONG[12:]),
        ("{{ messages[0].content[12:] }}", 12, "Never touch ", "Never touch "),
        ("{{ messages[0].content[10:20] }}", 43, LONG[:10], LONG[20:]),
        ("{{ messages[0].content[10:20] | upper }}", 43, LONG[:10], LONG[20:]),
        ("{{ messages[0].content[:12] | tojson }}", 41, LONG[12:], LONG[12:]),
        ("{{ messages[0].content | replace('folder ', '') }}", 7, "folder ", "folder "),
    ],
)
def test_how_much_of_a_text_is_missing(source: str, characters: int, first: str, last: str) -> None:
    (part,) = of(source, [{"role": "user", "content": LONG}]).missing
    assert (part.path, part.characters, part.size) == ("messages[0].content", characters, 53)
    assert (part.first, part.last) == (first, last)


@pytest.mark.parametrize(
    "way", ["", "|upper", "|tojson", "|e", "|string", "|indent(4)", "|replace('\n', '\\n')", "|list|join"]
)
def test_a_text_that_is_only_written_in_another_way_is_not_missing(way: str) -> None:
    content = 'A <b>"quoted"</b> text & more,\nand 日本語 too'
    assert of("{{ messages[0].content" + way + " }}", [{"role": "user", "content": content}]).missing == ()


def test_white_space_that_is_trimmed_is_said_quietly() -> None:
    found = of("{{ messages[0].content | trim }}", [{"role": "user", "content": "\n two  words \n"}])
    assert found.missing == ()
    assert [(part.path, part.characters) for part in found.quiet] == [("messages[0].content", 4)]


WIDE = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look into a file",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "where it lies"},
                "how": {"type": "string", "enum": ["fast", "slow"]},
                "range": {"type": "object", "properties": {"first": {"type": "integer", "description": "line"}}},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("{{ tools | tojson }}", []),
        ("{{ tools }}", []),
        ("{{ tools[0].function.name }}", [".description", ".parameters"]),
        (
            "{% set f = tools[0].function %}{{ f.name }}{{ f.description }}{% for n, p in f.parameters.properties.items() %}{{ n }}: {{ p.type }}{% endfor %}",
            [
                ".parameters.properties.path.description",
                ".parameters.properties.how.enum[0]",
                ".parameters.properties.how.enum[1]",
                ".parameters.properties.range.properties.first",
            ],
        ),
    ],
)
def test_a_tool_is_followed_parameter_by_parameter(source: str, paths: list[str]) -> None:
    found = of(source + "{{ messages[0].content }}", [{"role": "user", "content": "Hi"}], tools=[WIDE])
    assert [part.path for part in found.missing] == ["tools[0].function" + path for path in paths]


def called(arguments: Any) -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [call]}]


BOTH = {"path": "a.py", "range": {"first": 4, "last": 9}}
START = "{{ messages[0].content }}{% set f = messages[1].tool_calls[0].function %}{{ f.name }}"


@pytest.mark.parametrize(
    ("source", "arguments", "paths"),
    [
        ("{{ f.arguments | tojson }}", BOTH, []),
        ("{{ f.arguments }}", '{"path": "a.py", "range": {"first": 4, "last": 9}}', []),
        ("{{ f.arguments.path }}", BOTH, [".range"]),
        ("{{ f.arguments.path }}{{ f.arguments.range.first }}", BOTH, [".range.last"]),
        ("", BOTH, [""]),
        ("", '{"path": "a.py"}', [""]),
        ("", "{}", []),
        ("", {}, []),
        ("{{ f.arguments[:12] }}", '{"path": "a.py", "range": {"first": 4}}', [".path", ".range.first"]),
    ],
)
def test_a_call_is_followed_argument_by_argument(source: str, arguments: Any, paths: list[str]) -> None:
    found = of(START + source, called(arguments))
    assert [part.path for part in found.missing] == ["messages[1].tool_calls[0].function.arguments" + p for p in paths]
    assert [part.path for part in found.quiet] == ["messages[1].tool_calls[0].id"]


@pytest.mark.parametrize("engine", ["transformers", "llama.cpp", "llama-cpp-python", "llama-server", "ollama"])
def test_a_template_that_writes_everything_loses_nothing(engine: str) -> None:
    source = (
        "{% for t in tools %}{{ t.function.name }}{{ t.function.description }}{{ t.function.parameters | tojson }}{% endfor %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
        "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}"
        "{% endfor %}{% endfor %}, which is unlike any template that is known by its text, by more than a hundred characters"
    )
    messages = [*called('{"path": "a.py", "exact": true, "n": 2.5}'), {"role": "tool", "content": "x = 1\n"}]
    found = of(source, messages, engine=engine, tools=[WIDE])
    assert (found.missing, found.untold) == ((), ())


def test_an_engine_that_keeps_a_part_back_is_named_as_the_reason() -> None:
    found = of("{{ '<|im_start|>' }}", [*ASK], engine="llama.cpp-legacy", tools=[WIDE])
    assert [(part.path, part.because) for part in found.missing] == [
        ("tools[0]", "the engine does not hand it on to a template")
    ]


def test_many_parts_take_no_longer_than_their_number() -> None:
    """Each part is looked up by its path: no part is held against every other."""
    from workbench.compare import coverage

    messages = [{"role": "user", "content": f"message {n} <&>"} for n in range(2_000)]
    conversation = Conversation.from_dict({"messages": messages})
    prompt = coverage.Prompt.of(render(conversation, Template("{{ messages | tojson }}")))
    assert len(prompt.around("messages[7].content")) <= 4


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
