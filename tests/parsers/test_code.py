"""Fenced code: what is a block, what its language, and whether its Python parses."""

import sys

import pytest

from workbench.parsers import parse

PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"


def blocks(text, **options):
    return parse(text, parser="code", **options)


def test_a_python_block_that_parses():
    text = "Here:\n```python\nprint(1)\n```\nDone."
    parsed = blocks(text)
    (block,) = parsed.code
    assert (block.language, block.code, block.error) == ("python", "print(1)\n", None)
    assert text[slice(*block.span)] == "```python\nprint(1)\n```"
    assert parsed.content == text
    assert parsed.errors == ()


def test_a_fault_names_its_line_and_points_at_it():
    text = "```py\nx = 1\nprint(x\n```"
    parsed = blocks(text)
    assert parsed.code[0].error == f"'(' was never closed (line 2, as {PYTHON} reads it)"
    (error,) = parsed.errors
    assert text[slice(*error.span)] == "print(x"


def test_several_blocks_and_other_languages_are_not_checked():
    text = "```json\n{,}\n```\n~~~rust\nfn main( {\n~~~\n```\nplain (\n```"
    parsed = blocks(text)
    assert [(b.language, b.error) for b in parsed.code] == [("json", None), ("rust", None), ("", None)]
    assert parsed.errors == ()


def test_longer_fences_hold_shorter_ones():
    (block,) = blocks("````markdown\n```python\nx\n```\n````").code
    assert block.code == "```python\nx\n```\n"


def test_a_block_in_a_list_loses_the_lists_indentation():
    (block,) = blocks("1. so\n   ```python\n   def f():\n       return 1\n   ```").code
    assert block.code == "def f():\n    return 1\n"
    assert block.error is None


def test_windows_line_ends():
    (block,) = blocks("```python\r\nx = 1\r\n```\r\n").code
    assert (block.language, block.error) == ("python", None)


def test_a_doctest_counts_by_its_examples():
    assert blocks("```python\n>>> 1 + 1\n2\n```").errors == ()
    assert len(blocks("```python\n>>> 1 +\n2\n```").errors) == 1


@pytest.mark.parametrize(("complete", "words"), [(False, "was cut off in a code block"), (True, "ends inside a code")])
def test_an_open_block_is_an_error_but_its_python_is_not_judged(complete, words):
    parsed = blocks("```python\ndef f(", complete=complete)
    assert [words in note.message for note in parsed.errors] == [True]
    assert words in parsed.code[0].error


def test_inline_code_is_no_block():
    assert blocks("Use ```x``` here and `y`.").code == ()
    assert blocks("```x```").code == ()


def test_a_tool_call_inside_a_fence_leaves_the_fence_whole():
    text = 'So:\n```json\n<tool_call>{"name": "f", "arguments": {}}</tool_call>\n```\n'
    parsed = parse(text)
    assert parsed.parser == "hermes+code"
    assert [call.name for call in parsed.tool_calls] == ["f"]
    assert text[slice(*parsed.code[0].span)] == text[4:-1]
    assert parsed.errors == ()


@pytest.mark.parametrize("code", ["\0", "(" * 5000, "-" * 100_000 + "1", "x = '\ud800'", "1" * 6000, "if x:\n" * 500])
def test_python_that_breaks_the_parser_is_an_error_not_an_exception(code):
    parsed = blocks(f"```python\n{code}\n```")
    assert parsed.code[0].error
    assert parsed.errors


@pytest.mark.parametrize(
    "text",
    ['<tool_call>```json\n{"name": 1}\n```</tool_call>', '<tool_call>\n```json\n{"name": 1}\n```</tool_call>'],
)
def test_a_tag_behind_a_fence_is_no_language(text):
    parsed = parse(text)
    assert all(block.language == "json" and block.error is None for block in parsed.code)
    assert [note.message.startswith("a tool call is not JSON") for note in parsed.errors] == [True]


def test_a_fault_names_the_python_that_found_it():
    """What is no Python for one version may be good for the next, as quotes within an f-string."""
    parsed = blocks('```python\nx = f"{d["k"]}" +\n```')
    assert f"as {PYTHON} reads it" in parsed.errors[0].message


def test_blocks_between_many_calls_take_no_quadratic_time():
    import time

    started = time.process_time()
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    parsed = parse(f"```\nx\n```\n{call}\n" * 5000)
    assert time.process_time() - started < 10  # seconds of this process; quadratic, it is minutes
    assert (len(parsed.code), len(parsed.tool_calls)) == (5000, 5000)
