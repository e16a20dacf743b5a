"""What a request may ask of the samplers: of two names of one setting, stop texts, biases."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.sampling.asked import LENGTHS, asked, check_ids, stops
from workbench.setup import Setup

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


def applied(setup=None, **fields):
    request = Conversation.from_dict({"messages": [{"role": "user", "content": "x"}]} | fields)
    return Setup.from_dict({"sampling": setup or {}}).sampling_for(request)


@pytest.mark.parametrize("names", [LENGTHS, LENGTHS[1:], LENGTHS[2:]])
def test_of_several_names_of_the_length_llama_servers_first_one_counts(names):
    given = {name: 10 + LENGTHS.index(name) for name in reversed(names)}
    assert applied(**given)["max_tokens"] == given[names[0]]
    assert asked(given).fields["max_tokens"] == names[0]
    assert applied({"max_tokens": 3}, **given)["max_tokens"] == 3
    with pytest.raises(BadRequest, match=f"{names[0]} is -2; accepted is a whole number"):
        applied(**(given | {names[0]: -2}))


def test_a_null_asks_for_nothing():
    plain = applied()
    assert applied(**dict.fromkeys([*LENGTHS, "seed", "temperature", "stop", "logit_bias", "grammar"])) == plain


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("", '"stop" is an empty text, which is no stop'),
        (["x", ""], r'"stop"\[1\] is an empty text, which is no stop'),
        (["x", None], r'"stop"\[1\] is null; accepted is a text or a list'),
        ([["x"]], r'"stop"\[0\] is \["x"\]'),
        ([7], r'"stop"\[0\] is 7'),
        (True, '"stop" is true'),
        ({"a": 1}, '"stop" is {"a": 1}'),
    ],
)
def test_what_is_no_stop_text_is_named(stop, said):
    with pytest.raises(BadRequest, match=said):
        applied(stop=stop)


@pytest.mark.parametrize("stop", [[], ["x"], "x", [" ", "\n"]])
def test_other_stops_are_taken_as_they_are(stop):
    assert applied(stop=stop)["stop"] == ([stop] if isinstance(stop, str) else stop)


@given(ANYTHING)
def test_a_stop_of_any_kind_is_taken_or_refused_in_a_sentence(stop):
    with contextlib.suppress(BadRequest):
        assert all(isinstance(text, str) and text for text in stops(stop, ""))


@given(ANYTHING | st.dictionaries(st.sampled_from(["1", "01", "-1", "٣", "a", " 2", "1.0"]), ANYTHING, max_size=2))
def test_biases_of_any_kind_are_taken_or_refused_in_a_sentence(value):
    with contextlib.suppress(BadRequest):
        taken = Setup.from_dict({"sampling": {"logit_bias": value}}).to_dict().get("sampling", {})
        assert all(key.isascii() and key.isdigit() for key in taken.get("logit_bias", {}))


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        ({"Hello": 1}, 'names "Hello", which is no token id; .*for a text give the ids of its tokens'),
        ({"-1": 1}, 'names "-1", which is no token id'),
        ({"1": None}, "gives the token 1 null"),
        ({"1": "2"}, 'gives the token 1 "2"'),
        ({"7": 1, "07": 2}, "names the token 7 twice"),
    ],
)
def test_a_bias_is_named_that_is_none(bias, said):
    with pytest.raises(BadRequest, match=f"the request: logit_bias {said}"):
        applied(logit_bias=bias)


def test_ids_beyond_the_vocabulary_are_refused_with_its_range():
    check_ids({"logit_bias": {"0": 1, "266": False}}, 267, {})
    for token in ("267", "99999", "9" * 5000):
        with pytest.raises(BadRequest, match=r"r.json's logit_bias names the token .*; accepted are ids from 0 to 266"):
            check_ids({"logit_bias": {token: 1}}, 267, {"logit_bias": "r.json's logit_bias"})
