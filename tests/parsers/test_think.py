"""Reasoning in `<think>` tags, with what the prompt opened or closed."""

import pytest

from workbench.parsers import parse

# text, end of the prompt, reasoning, content, words of a repair, words of an error
CASES = [
    ("<think>\nso\n</think>\n\nYes.", "", "\nso\n", "\n\nYes.", None, None),
    ("\n <think>so</think>Yes.", "", "so", "\n Yes.", None, None),
    ("<think></think>Yes.", "", "", "Yes.", None, None),
    ("so</think>Yes.", "<|im_start|>assistant\n<think>\n", "so", "Yes.", None, None),
    ("<think>so</think>Yes.", "assistant\n<think>\n", "so", "Yes.", "opened <think> already", None),
    ("so</think>Yes.", "", "so", "Yes.", "without <think>", None),
    ("so</think>Yes.", "<think>\nOkay,", "so", "Yes.", "without <think>", None),
    ("Yes.", "<think>\n\n</think>\n\n", None, "Yes.", None, None),
    ("Yes.</think>", "<think>\n\n</think>\n\n", None, "Yes.</think>", "left in the content", None),
    ("<think>a</think><think>b</think>c", "", "ab", "c", None, None),
    ("<think>so", "", "so", "", None, "ends inside the reasoning"),
    ("so", "<think>", "so", "", None, "ends inside the reasoning"),
    ("", "<think>", "", "", None, "ends inside the reasoning"),
    ("The <think> tag opens it.", "", None, "The <think> tag opens it.", "left in the content", None),
    ("<think>a</think>The </think> tag", "", "a", "The </think> tag", "left in the content", None),
    ("No tags at all.", "", None, "No tags at all.", None, None),
]


@pytest.mark.parametrize(("text", "tail", "reasoning", "content", "repair", "error"), CASES)
def test_reasoning(text, tail, reasoning, content, repair, error):
    parsed = parse(text, prompt_tail=tail, parser="think")
    assert (parsed.reasoning, parsed.content) == (reasoning, content)
    assert [repair in note.message for note in parsed.repairs] == ([True] if repair else [])
    assert [error in note.message for note in parsed.errors] == ([True] if error else [])
    assert parsed.raw == text


def test_a_cut_answer_says_so():
    parsed = parse("<think>so", complete=False)
    assert "was cut off in the reasoning" in parsed.errors[0].message
    assert parsed.errors[0].span == (7, 9)


def test_auto_reads_what_the_prompt_opened():
    assert parse("so</think>Yes.", prompt_tail="<think>\n").parser == "think"
    assert parse("so", prompt_tail="<think>\n").reasoning == "so"
