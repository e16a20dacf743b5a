"""Tool calls in `<tool_call>` tags: good, repaired, broken, empty-argument and cut-off texts."""

import json

import pytest

from workbench.parsers import parse

WEATHER = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


def calls(text, **options):
    parsed = parse(text, parser="hermes", **options)
    return [(call.name, call.arguments) for call in parsed.tool_calls], parsed


def test_one_call_is_taken_out_of_the_content():
    found, parsed = calls(f"I look it up.\n{WEATHER}")
    assert found == [("get_weather", {"city": "Oslo"})]
    assert parsed.content == "I look it up.\n"
    assert (parsed.repairs, parsed.errors) == ((), ())
    start, end = parsed.tool_calls[0].span
    assert parsed.raw[start:end] == WEATHER


def test_several_calls_keep_their_order_and_the_text_between():
    first = '<tool_call>{"name": "x", "arguments": {}}</tool_call>'
    text = f'a{first}b<tool_call>{{"name": "y", "arguments": {{"n": 1}}}}</tool_call>c'
    found, parsed = calls(text)
    assert found == [("x", {}), ("y", {"n": 1})]
    assert parsed.content == "abc"
    assert not parsed.errors
    assert not parsed.repairs


def test_empty_arguments_are_a_good_call():
    found, parsed = calls('<tool_call>{"name": "now", "arguments": {}}</tool_call>')
    assert found == [("now", {})]
    assert (parsed.repairs, parsed.errors, parsed.content) == ((), (), "")


def test_a_closing_tag_within_an_argument_does_not_end_the_call():
    inner = "write </tool_call> here"
    body = json.dumps({"name": "write", "arguments": {"text": inner}})
    found, parsed = calls(f"<tool_call>{body}</tool_call>")
    assert found == [("write", {"text": inner})]
    assert not parsed.repairs


REPAIRED = [
    ('{"name": "f", "arguments": "{\\"a\\": 1}"}', {"a": 1}, "JSON text"),
    ('{"name": "f"}', {}, "no arguments were given"),
    ('{"name": "f", "arguments": null}', {}, "were null"),
    ('{"name": "f", "parameters": {"a": 1}}', {"a": 1}, '"parameters"'),
    ('{"function": {"name": "f", "arguments": {"a": 1}}}', {"a": 1}, '"function"'),
    ('{"name": "f", "arguments": {"a": 1,}}', {"a": 1}, "comma"),
    ('{"name": "f", "arguments": {"a": "one\ntwo"}}', {"a": "one\ntwo"}, "line break"),
    ("{'name': 'f', 'arguments': {'a': True, 'b': None}}", {"a": True, "b": None}, "Python literal"),
    ('{"name": "f", "arguments": {"a": 1}}}', {"a": 1}, "behind the call's JSON"),
    ('{"name": "f", "arguments": {"a": 0, "a": 1}}', {"a": 1}, "'a' stands twice"),
    ('{"name": "f", "arguments": {"a": 1}, "why": "so"}', {"a": 1}, "why"),
]


@pytest.mark.parametrize(("body", "arguments", "repair"), REPAIRED)
def test_a_repair_is_made_and_said(body, arguments, repair):
    found, parsed = calls(f"<tool_call>{body}</tool_call>")
    assert found == [("f", arguments)]
    assert not parsed.errors
    assert len(parsed.repairs) == 1
    assert repair in parsed.repairs[0].message
    assert parsed.content == ""


def test_two_objects_in_one_tag_are_two_calls():
    found, parsed = calls('<tool_call>{"name": "x", "arguments": {}}\n{"name": "y", "arguments": {}}</tool_call>')
    assert found == [("x", {}), ("y", {})]
    assert "second call" in parsed.repairs[0].message
    assert parsed.content == ""


def test_a_missing_closing_tag_behind_a_whole_call_is_repaired():
    found, parsed = calls('<tool_call>{"name": "x", "arguments": {}}\nDone.')
    assert found == [("x", {})]
    assert "missing" in parsed.repairs[0].message
    assert parsed.content == "\nDone."


def test_a_missing_closing_tag_between_two_calls():
    text = '<tool_call>{"name": "x", "arguments": {}}<tool_call>{"name": "y", "arguments": {}}</tool_call>'
    found, parsed = calls(text)
    assert found == [("x", {}), ("y", {})]
    assert [note.message for note in parsed.repairs] == ["</tool_call> is missing behind a complete call"]


BROKEN = [
    ('{"name": "f", "arguments": {"code": "print("hi")"}}', "not JSON: Expecting ',' delimiter"),
    ("f(a=1)", "not JSON"),
    ("", "not JSON"),
    ("[1, 2]", "no JSON object but a list"),
    ('{"arguments": {}}', '"name"'),
    ('{"name": "", "arguments": {}}', '"name"'),
    ('{"name": 3, "arguments": {}}', '"name"'),
    ('{"name": "f", "arguments": {"a": NaN}}', "NaN is not a JSON number"),
    ('{"name": "f", "arguments": {"a": 1e999}}', "1e999 is larger than a number can be"),
]


@pytest.mark.parametrize(("body", "message"), BROKEN)
def test_a_broken_call_is_an_error_and_stays_in_the_content(body, message):
    text = f"Before <tool_call>{body}</tool_call> after"
    found, parsed = calls(text)
    assert found == []
    assert parsed.content == text
    assert len(parsed.errors) == 1
    assert message in parsed.errors[0].message
    start, end = parsed.errors[0].span
    assert text[start:end] == f"<tool_call>{body}</tool_call>"


@pytest.mark.parametrize("given", ['"not json"', "[1]", "7", "true"])
def test_arguments_that_are_no_object_are_kept_as_written_with_an_error(given):
    found, parsed = calls(f'<tool_call>{{"name": "f", "arguments": {given}}}</tool_call>')
    assert found == [("f", json.loads(given))]
    assert len(parsed.errors) == 1


@pytest.mark.parametrize("cut", range(len("<tool_call>"), len(WEATHER) - len("\n</tool_call>")))
def test_a_call_that_was_cut_off_is_an_error_at_every_place(cut):
    found, parsed = calls(WEATHER[:cut], complete=False)
    assert found == []
    assert parsed.content == WEATHER[:cut]
    assert parsed.errors[0].message == "the answer was cut off inside a tool call"
    assert parsed.errors[0].span == (0, cut)


def test_the_model_that_stops_inside_a_call_is_not_said_to_be_cut_off():
    _, parsed = calls('<tool_call>{"name": "f", ', complete=True)
    assert parsed.errors[0].message == "the answer ends inside a tool call"


def test_a_stray_closing_tag():
    _, parsed = calls("Hello</tool_call>")
    assert parsed.content == "Hello</tool_call>"
    assert "without an opening tag" in parsed.errors[0].message
    assert parsed.errors[0].span == (5, 17)


def test_the_prompt_may_have_opened_the_tag():
    found, parsed = calls('{"name": "f", "arguments": {}}</tool_call>', prompt_tail="assistant\n<tool_call>\n")
    assert found == [("f", {})]
    assert (parsed.errors, parsed.repairs, parsed.content) == ((), (), "")


def test_a_call_inside_the_reasoning_is_named_where_no_other_is_made():
    inside = f"<think>{WEATHER}</think>"
    parsed = parse(inside + "Done.")
    assert (parsed.parser, parsed.tool_calls) == ("think+hermes", ())
    assert "inside the reasoning" in parsed.errors[0].message
    assert parse(inside + WEATHER).errors == ()


def test_a_model_that_repeats_itself_takes_no_quadratic_time():
    import time

    started = time.perf_counter()
    parse('<tool_call>{"name": ' * 4000, complete=False)
    assert time.perf_counter() - started < 5
