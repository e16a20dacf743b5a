"""JSON that is nested deeply, and the writer that does not mind: it writes what Python's own writes."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.test_deep import nested
from workbench.engines.seen import changes, restored
from workbench.errors import BadRequest
from workbench.nesting import MOST_LEVELS, indented, levels, read_json, write_json
from workbench.setup import Setup
from workbench.values import FrozenJSON, finite

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@settings(max_examples=40)
@given(values, st.integers(0, 4))
def test_the_writer_writes_what_pythons_writes(value: Any, step: int) -> None:
    assert indented(value, step) == json.dumps(value, ensure_ascii=False, indent=step)


@settings(max_examples=40)
@given(values)
def test_levels_are_counted(value: Any) -> None:
    def counted(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(counted, inner), default=0)

    assert levels(value) == counted(value)


def test_what_is_deep_is_written_read_copied_and_compared() -> None:
    deep = nested(MOST_LEVELS)
    frozen = FrozenJSON(deep)
    assert read_json(write_json(deep)) == frozen.value()
    assert copy.deepcopy(frozen) == frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert json.loads(indented(nested(300), 1)) == nested(300)
    assert write_json(finite(deep)) == write_json(deep)


@settings(max_examples=40)
@given(
    st.recursive(
        st.floats() | st.text(), lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_finite_has_no_tuples_and_leaves_what_was_given(value: Any) -> None:
    def made(one: Any) -> Any:
        if isinstance(one, float):
            return one if math.isfinite(one) else None
        if isinstance(one, dict):
            return {key: made(item) for key, item in one.items()}
        return [made(item) for item in one] if isinstance(one, list | tuple) else one

    before = repr(value)
    assert finite(value) == made(value)
    assert repr(value) == before


def test_differences_are_found_in_what_is_deep_and_in_their_order() -> None:
    deep, other = nested(900), nested(900)
    inside = other
    while isinstance(inside[0] if isinstance(inside, list) else inside["a"], dict | list):
        inside = inside[0] if isinstance(inside, list) else inside["a"]
    inside[0] = "changed"
    before = {"messages": [{"role": "user", "content": "Hi", "a": 1, "deep": deep, "z": 2}]}
    after = {"messages": [{"role": "user", "content": "Hi", "a": 2, "deep": other, "z": 3, "more": 0}]}
    found = changes(before, {**after, "add_generation_prompt": True}, "")
    assert [change.before for change in found] == ["1", '"inside"', "2", None]
    assert found[1].path.startswith("messages[0].deep")


def test_numbers_that_only_lost_digits_are_restored() -> None:
    before = {"a": [1.23456789, {"b": 2.5}], "c": [1, 2], "d": 1}
    after = {"a": [1.23457, {"b": 3.5}], "c": [1], "e": 1.0}
    assert restored(before, after) == {"a": [1.23456789, {"b": 3.5}], "c": [1], "e": 1.0}
    assert after["a"] == [1.23457, {"b": 3.5}]


def test_a_setup_that_is_too_deep_or_holds_itself_is_refused_in_a_sentence() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for deep in (nested(5_000), nested(100_000), endless):
        for setup in ({"model": "x", "metadata": {"a": deep}}, {"model": "x", "parser": deep}, {"sampling": deep}):
            with pytest.raises(BadRequest, match=f"nested too deeply; accepted are {MOST_LEVELS} levels"):
                Setup.from_dict(setup)
