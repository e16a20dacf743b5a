"""Differences of texts: they rebuild the other text, hit the right place, and equal texts have none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.text import FirstDifference, differences, first_difference

PIECES = st.lists(
    st.sampled_from(["a", "b", " ", "\n", "<|x|>", "[/INST]", "é", "\u202e", "word ", "\r\n"]), max_size=30
)


def rebuilt(a: str, b: str) -> str:
    parts, at = [], 0
    for change in differences(a, b):
        parts += [a[at : change.start_a], b[change.start_b : change.end_b]]
        at = change.end_a
    return "".join(parts) + a[at:]


@given(PIECES, PIECES)
def test_they_make_the_other_text(one: list[str], other: list[str]) -> None:
    a, b = "".join(one), "".join(other)
    assert rebuilt(a, b) == b
    assert bool(differences(a, b)) == (a != b)
    where = first_difference(a, b)
    assert (where is None) == (a == b)
    if where is not None:
        assert a[: where.offset] == b[: where.offset]
        assert a[where.offset : where.offset + 1] != b[where.offset : where.offset + 1]


def test_a_word_is_replaced_as_a_whole() -> None:
    assert differences("to be kind", "to bear kind") == ((3, 5, 3, 7),)
    assert differences("x<|end|>\n", "x<|eot|>\n") == ((1, 8, 1, 8),)


def test_the_first_difference_says_where() -> None:
    assert first_difference("one\ntwo", "one\ntoo") == FirstDifference(5, 2, "one\nt", "wo", "oo")
    assert first_difference("ab", "abc") == FirstDifference(2, 1, "ab", "", "c")


def test_texts_too_long_and_too_different_are_one_difference() -> None:
    a, b = "<a>" + "word one, " * 4000 + "<z>", "<a>" + "two words. " * 4000 + "<z>"
    assert differences(a, b) == ((3, len(a) - 4, 3, len(b) - 4),)
