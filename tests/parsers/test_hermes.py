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
    (
        r'{"name": "f", "arguments": {"a": "\d\x41\101\b\n\u0041\u12"}}',
        {"a": "\\d\\x41\\101\b\nA\\u12"},
        "no JSON escape",
    ),
    (
        '{"name": "f", "arguments": {"a": True, "b": "None \'True\'"}}',
        {"a": True, "b": "None 'True'"},
        "stood for true",
    ),
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


def test_several_repairs_of_one_call_are_all_said():
    body = '{"name": "f", "arguments": {"a": "\\d\n", "b": None,}}'
    found, parsed = calls(f"<tool_call>{body}</tool_call>")
    assert found == [("f", {"a": "\\d\n", "b": None})]
    assert len(parsed.repairs) == 4


def test_a_python_literal_keeps_its_bad_escapes():
    found, parsed = calls(r"<tool_call>{'name': 'grep', 'arguments': {'re': '\d'}}</tool_call>")
    assert found == [("grep", {"re": "\\d"})]
    assert [note.message for note in parsed.repairs] == [
        "the call was a Python literal, not JSON",
        "a backslash that begins no Python escape was kept as it stands",
    ]


@pytest.mark.parametrize("body", ['{"name": "f", "arguments": {"a": (1, 2)}}', '{"name": "f" "g", "arguments": {}}'])
def test_what_is_neither_json_nor_single_quoted_is_no_python_literal(body):
    found, parsed = calls(f"<tool_call>{body}</tool_call>")
    assert found == []
    assert "not JSON" in parsed.errors[0].message


@pytest.mark.parametrize("fill", ["x", "é\\\\", "\\u0041", "1, "])
def test_a_long_call_is_read_whole(fill):
    """Whatever stands where a piece of it ends."""
    for pad in range(24):
        held = json.loads(f'"{fill * 3000}"') if fill != "1, " else [1] * 3000 + [-1234567.25e-3]
        text = json.dumps({"name": "f", "arguments": {"p" * pad: held}}, ensure_ascii=fill[0] == "x")
        found, parsed = calls(f"<tool_call>{text}</tool_call>")
        assert found == [("f", {"p" * pad: held})]
        assert not parsed.repairs


def test_two_objects_in_one_tag_are_two_calls():
    found, parsed = calls('<tool_call>{"name": "x", "arguments": {}}\n{"name": "y", "arguments": {}}</tool_call>')
    assert found == [("x", {}), ("y", {})]
    assert "second call" in parsed.repairs[0].message
    assert parsed.content == ""
    first, second = (parsed.raw[slice(*call.span)] for call in parsed.tool_calls)
    assert first == '<tool_call>{"name": "x", "arguments": {}}\n'
    assert second == '{"name": "y", "arguments": {}}</tool_call>'


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
    ("null", "no JSON object but null"),
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


@pytest.mark.parametrize("text", [WEATHER, f"Ok.\n{WEATHER}", WEATHER.replace("\n", ""), f"<think>a</think>{WEATHER}"])
def test_a_cut_call_is_said_to_be_cut_at_every_place_and_never_another_call(text):
    whole = parse(text).tool_calls
    for cut in range(text.index("<tool_call>") + 1, len(text)):
        parsed = parse(text[:cut], complete=False)
        assert len(parsed.errors) == 1, text[:cut]
        assert "was cut off" in parsed.errors[0].message
        assert [call[:2] for call in parsed.tool_calls] in ([], [call[:2] for call in whole])
        assert bool(parsed.tool_calls) == ("}}" in text[:cut])


def test_a_call_cut_in_its_closing_tag_is_whole():
    found, parsed = calls(WEATHER[:-3], complete=False)
    assert found == [("get_weather", {"city": "Oslo"})]
    assert parsed.content == ""
    assert "cut off before </tool_call>; the call in front of it is complete" in parsed.errors[0].message


def test_a_cut_in_what_is_no_json_says_both():
    _, parsed = calls("<tool_call>f(a=1", complete=False)
    assert "cut off inside a tool call, which is not JSON" in parsed.errors[0].message


@pytest.mark.parametrize(
    ("text", "options", "tags"),
    [
        ("Ok.\n<tool_ca", {}, "<tool_call>"),
        ("Ok.<", {}, "<think> or </think> or <tool_call> or </tool_call>"),
        ("Ok.<th", {"parser": "hermes"}, None),
        ("Ok.<tool_ca", {"parser": "plain"}, None),
        ("Ok.<tool_ca", {"complete": True}, None),
    ],
)
def test_a_cut_inside_what_may_be_a_tag(text, options, tags):
    parsed = parse(text, **({"complete": False} | options))
    assert parsed.content == text
    expected = [f"the answer was cut off inside what may be a tag: {tags}"] if tags else []
    assert [note.message for note in parsed.errors] == expected
    assert all(text[slice(*note.span)] == text[text.index("<") :] for note in parsed.errors)


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


@pytest.mark.parametrize(
    "text",
    [
        *("<tool_call>", "</tool_call>", '<tool_call>{"name": ', '<tool_call>{"a": "', '{"name": "f"}'),
        *('<tool_call>{"name": "f"}', '<tool_call>{"name": "f"}</tool_call>'),
    ],
)
def test_a_model_that_repeats_itself_takes_no_quadratic_time(text):
    import time

    started = time.process_time()
    parse(text * 20_000, complete=False)
    assert time.process_time() - started < 10  # seconds of this process; quadratic, it is minutes
