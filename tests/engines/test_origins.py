"""Tracked texts against `str`: every operation gives the same text, and no claim about its origin is false."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiles import examples
from workbench.engines.containers import unwrap, wrap
from workbench.engines.dump import json_text, python_text
from workbench.engines.filters import indent, joined, title
from workbench.engines.formatting import text_of
from workbench.engines.origins import SafeTracked, Source, Tracked, escaped, run
from workbench.engines.scalars import TrackedBool, TrackedInt, TrackedNone, tracked_scalar

TEXTS = st.text(alphabet="abAB ßİﬁ\n\t.,<é日👩\x00", max_size=12)
SMALL = st.integers(-14, 14)

Operation = tuple[str, Callable[..., Any]]
OPERATIONS: list[Operation] = [
    ("add", lambda a, b, i, j: a + b),
    ("radd", lambda a, b, i, j: unwrap(b) + a),
    ("mul", lambda a, b, i, j: a * (i % 4)),
    ("item", lambda a, b, i, j: a[i] if -len(a) <= i < len(a) else a),
    ("slice", lambda a, b, i, j: a[i:j]),
    ("step", lambda a, b, i, j: a[i:j:-2]),
    ("strip", lambda a, b, i, j: a.strip()),
    ("strip chars", lambda a, b, i, j: a.strip("aA .")),
    ("lstrip", lambda a, b, i, j: a.lstrip("\n ")),
    ("rstrip", lambda a, b, i, j: a.rstrip("\n ")),
    ("split", lambda a, b, i, j: b.join(a.split())),
    ("split max", lambda a, b, i, j: b.join(a.split(None, 1))),
    ("split at", lambda a, b, i, j: b.join(a.split("a", i % 3))),
    ("rsplit", lambda a, b, i, j: b.join(a.rsplit(None, 2))),
    ("rsplit at", lambda a, b, i, j: b.join(a.rsplit("a", 1))),
    ("lines", lambda a, b, i, j: b.join(a.splitlines(i > 0))),
    ("partition", lambda a, b, i, j: b.join(a.partition("b"))),
    ("rpartition", lambda a, b, i, j: b.join(a.rpartition("b"))),
    ("replace", lambda a, b, i, j: a.replace("a", b, i)),
    ("replace nothing", lambda a, b, i, j: a.replace("", b)),
    ("prefix", lambda a, b, i, j: a.removeprefix("a")),
    ("suffix", lambda a, b, i, j: a.removesuffix("a")),
    ("lower", lambda a, b, i, j: a.lower()),
    ("upper", lambda a, b, i, j: a.upper()),
    ("title", lambda a, b, i, j: a.title()),
    ("capitalize", lambda a, b, i, j: a.capitalize()),
    ("swapcase", lambda a, b, i, j: a.swapcase()),
    ("casefold", lambda a, b, i, j: a.casefold()),
    ("center", lambda a, b, i, j: a.center(i, "*")),
    ("ljust", lambda a, b, i, j: a.ljust(i)),
    ("rjust", lambda a, b, i, j: a.rjust(i, "-")),
    ("zfill", lambda a, b, i, j: a.zfill(i)),
    ("tabs", lambda a, b, i, j: a.expandtabs(3)),
    ("chars", lambda a, b, i, j: b.join(list(a))),
]


def tracked(text: str, path: str) -> Tracked:
    return Tracked(text, run(text, Source("message", path, text), 0))


def check(result: Tracked, plain: str) -> None:
    """The text is right, the runs cover it, and every verbatim claim holds."""
    assert unwrap(result) == plain
    assert isinstance(result, Tracked)
    assert sum(piece[0] for piece in result.runs_) == len(plain)
    at = 0
    for length, source, offset, _ in result.runs_:
        assert length >= 0
        if offset >= 0:
            assert source.text is not None
            assert source.text[offset : offset + length] == plain[at : at + length]
        at += length


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
@settings(max_examples=examples(40))
@given(a=TEXTS, b=TEXTS, i=SMALL, j=SMALL)
def test_each_operation(name: str, operation: Callable[..., Any], a: str, b: str, i: int, j: int) -> None:
    check(operation(tracked(a, "a"), tracked(b, "b"), i, j), operation(a, b, i, j))


@settings(max_examples=examples(150))
@given(a=TEXTS, b=TEXTS, steps=st.lists(st.tuples(st.sampled_from(OPERATIONS), SMALL, SMALL), max_size=6))
def test_operations_one_after_another(a: str, b: str, steps: list[tuple[Operation, int, int]]) -> None:
    ours, plain = tracked(a, "a"), a
    for (_, operation), i, j in steps:
        ours, plain = operation(ours, tracked(b, "b"), i, j), operation(plain, b, i, j)
        if len(plain) > 2000:
            return
        check(ours, plain)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | TEXTS | st.just("\ud800"),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(150))
@given(value=JSON, ascii_only=st.booleans(), indentation=st.sampled_from([None, 0, 2, "\t"]), in_order=st.booleans())
def test_dumps_are_those_of_json_and_python(value: Any, ascii_only: bool, indentation: Any, in_order: bool) -> None:
    import json

    ours = wrap(value, "messages[0].x")
    assert unwrap(ours) == value
    plain = json.dumps(value, ensure_ascii=ascii_only, indent=indentation, sort_keys=in_order)
    dumped = json_text(ours, ascii_only, indentation, None, in_order)
    check(dumped, plain)
    assert {piece[1].origin for piece in dumped.runs_} <= {"message"}
    if not isinstance(value, str):
        check(text_of(ours), str(value))
    check(python_text([ours, ours]), str([value, value]))


@settings(max_examples=examples(60))
@given(a=TEXTS, b=TEXTS, n=SMALL)
def test_filters_and_formats(a: str, b: str, n: int) -> None:
    import jinja2.filters as real
    from markupsafe import Markup, escape

    one, two = tracked(a, "a"), tracked(b, "b")
    check(title(one), real.do_title(a))
    for blank in (True, False):
        check(indent(one, abs(n), blank, blank), real.do_indent(a, abs(n), blank, blank))
    check(joined([one, 3, two]), f"{a}3{b}")
    check(tracked("%s-%5s%%%d", "p") % (one, two, n), "%s-%5s%%%d" % (a, b, n))  # noqa: UP031  this is what is tested
    check(escaped(one), str(escape(a)))
    check(SafeTracked(one, one.runs_) + two, str(Markup(a) + b))
    check(SafeTracked(one, one.runs_).__radd__(b), str(b + Markup(a)))


def test_stand_ins_behave_as_what_they_stand_for() -> None:
    source = Source("message", "x")
    true, false, none = (tracked_scalar(value, source) for value in (True, False, None))
    assert (true == True, false == False, none == None) == (True, True, True)  # noqa: E711, E712  as templates write it
    assert (none == None, bool(none), bool(false), bool(true)) == (True, False, False, True)  # noqa: E711  the same
    assert (str(true), repr(false), str(none), f"{true}") == ("True", "False", "None", "True")
    assert isinstance(true, TrackedBool)
    assert isinstance(none, TrackedNone)
    assert none in (None, 1)
    assert {None: 1}[none] == 1
    number = tracked_scalar(5, source)
    assert isinstance(number + 1, TrackedInt)
    assert number * "ab" == "ababababab"
    assert [1, 2, 3, 4, 5, 6][number] == 6
    assert list(range(number)) == [0, 1, 2, 3, 4]
    with pytest.raises(TypeError):
        number + "a"
