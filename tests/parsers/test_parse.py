"""How formats combine, how one is chosen, and that no text makes parsing raise."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiles import examples
from workbench.errors import BadRequest
from workbench.parsers import PARSERS, check_parser, parse, preserved_tokens
from workbench.stages import Parsed

PIECES = [
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "```python\n", "```", "\n```\n", "\n", " "),
    *('{"name": "f", "arguments": {}}', '{"name": "f", "arguments": "', "{", "}", '"', "\\", "'", ",", "[", "]"),
    *("NaN", "1e999", "x = (", "\ud800", "\0", "🙂", "{'a': 1}", ">>> "),
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))


@settings(max_examples=examples(600))
@given(text=texts, tail=st.sampled_from(["", "<think>\n", "</think>\n\n", "<tool_call>"]), complete=st.booleans())
def test_no_text_raises_and_nothing_is_lost(text, tail, complete):
    parsed = parse(text, prompt_tail=tail, complete=complete)
    assert parsed.raw == text
    assert Parsed.from_dict(json.loads(json.dumps(parsed.to_dict()))) == parsed
    notes: list[Any] = [*parsed.tool_calls, *parsed.repairs, *parsed.errors, *parsed.code]
    assert all(0 <= note.span[0] <= note.span[1] <= len(text) for note in notes)
    spans = [call.span for call in parsed.tool_calls]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    in_calls = {at for call in parsed.tool_calls for at in range(*call.span)}
    tags = 7 * text.count("<think>") + 8 * text.count("</think>")
    assert len(parsed.content) + len(parsed.reasoning or "") + len(in_calls) + tags >= len(text)


@settings(max_examples=examples(200))
@given(st.text(alphabet=st.characters(exclude_characters="<`~")))
def test_text_without_marks_is_plain_content(text):
    parsed = parse(text)
    assert (parsed.parser, parsed.content, parsed.reasoning, parsed.errors) == ("plain", text, None, ())


def test_formats_combine_in_one_answer():
    text = (
        "<think>which tool?</think>I look.\n```python\nx = 1\n```\n"
        '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    )
    parsed = parse(text)
    assert parsed.parser == "think+hermes+code"
    assert parsed.reasoning == "which tool?"
    assert parsed.content == "I look.\n```python\nx = 1\n```\n"
    assert parsed.tool_calls[0].arguments == {"a": 1}
    assert [block.language for block in parsed.code] == ["python"]


def test_plain_reads_nothing():
    text = "<think>a</think><tool_call>{}</tool_call>"
    assert parse(text, parser="plain").content == text


def test_a_named_parser_is_used_alone_and_said():
    parsed = parse("<think>a</think>b", parser="code")
    assert (parsed.parser, parsed.content) == ("code", "<think>a</think>b")
    assert parse("x", parser="hermes+think").parser == "think+hermes"


@pytest.mark.parametrize("name", ["json", "", "think+", "auto+code"])
def test_an_unknown_parser_is_a_users_error(name):
    with pytest.raises(BadRequest, match=r'accepted are "auto", "plain" and think, hermes, code'):
        check_parser(name)


def test_names_are_unique_and_marks_are_kept_in_the_answer():
    assert len({parser.name for parser in PARSERS}) == len(PARSERS)
    assert preserved_tokens() >= {"<think>", "</think>", "<tool_call>", "</tool_call>"}


def test_hostile_markup_is_only_text():
    text = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    assert parse(text).content == text
