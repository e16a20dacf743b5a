"""A refused grammar: llama.cpp's own reason, the place that it means, and whose grammar it is."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gguf import tiny
from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.runtime import gbnf
from workbench.runtime.host import Host
from workbench.setup import Setup

HELLO = Conversation.of([{"role": "user", "content": "x"}])
PLAIN = Setup.from_dict({"sampling": {"max_tokens": 1}}).sampling_for(HELLO)
BODIES = ['"a"', '"é" [^)(]', '("b"? "c"){2,5}', "([a-z]* #) (\n  )", '( "x" | "\\"(" ){0,3}', '"y"+', '("z"{3} .){2,}']


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with Host(Setup(model=str(tiny.model_file(tmp_path_factory.mktemp("grammar") / "tiny.gguf")))) as host:
        yield host


def refused(host, grammar, **named):
    with pytest.raises(BadRequest) as found:
        host.generate([10], PLAIN | {"grammar": grammar}, **named)
    return found.value


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ('root ::= "a"\nb ::= "\\w"', r'unknown escape at line 2, column 8: \w"'),
        ('root ::= ("a"', "expecting ')' at line 1, column 14: the grammar's end"),
        ('root ::= "a', "unexpected end of input at line 1, column 12: the grammar's end"),
        ('root = "a"', 'expecting ::= at line 1, column 6: = "a"'),
        ('root ::= "a" |\n "b"\nb -> "c"', 'expecting ::= at line 3, column 3: -> "c"'),
        ('root ::= "\\u12z4"', "expecting 4 hex chars at line 1, column 13: 12z4"),
        ('root ::= "\udcff\\d"', 'unknown escape at line 1, column 12: \\d"'),
        ('root ::= ("other" # other\n  other)', "Undefined rule identifier 'other' at line 2, column 3"),
        ("root ::= <no such token>", "is not one token of this vocabulary at line 1, column 10: <no such token>"),
        ('root ::= "a"\nb ::= [a-z]{2001}', "exceeds sane defaults, please reduce the number of repetitions at line 2"),
        ('root ::= "a"{1' + "0" * 30 + "}", "a number of repetitions that 64 bits do not hold at line 1, column "),
        ("# a comment", "it has no rule"),
        ('rot ::= "a"', "does not contain a 'root' symbol"),
    ],
)
def test_the_reason_and_its_place_are_said(host, grammar, said):
    error = refused(host, grammar)
    assert said in error.given
    assert ("shorten it" in error.next_step) == ("sane defaults" in said)


@settings(max_examples=25)
@given(before=st.lists(st.sampled_from(BODIES), max_size=4), body=st.sampled_from(BODIES), indent=st.integers(0, 5))
def test_an_unknown_escape_is_found_wherever_it_stands(host, before, body, indent):
    rules = [f"r{i} ::= {text}\n" for i, text in enumerate(before)]
    line = f"root ::= {' ' * indent}{body} "
    grammar = "".join(rules) + line + '"\\q"'
    assert f"unknown escape at {gbnf.place(grammar, len(grammar) - 3)}: \\q" in refused(host, grammar).given


@settings(max_examples=25)
@given(before=st.lists(st.sampled_from(BODIES), max_size=5), behind=st.sampled_from(BODIES))
def test_the_rule_that_recurses_is_named_though_llama_cpp_gives_a_number(host, before, behind):
    names = [f"r{i}" for i in range(len(before))]
    rules = [f"{name} ::= {text}\n" for name, text in zip(names, before, strict=True)]
    grammar = f'root ::= "a" {" ".join(names)} again\n' + "".join(rules)
    place = gbnf.place(grammar, len(grammar))
    grammar += f"again ::= again {behind} | {behind}"
    assert re.search(rf"left recursion, met from the rule again on, at {place}: again", refused(host, grammar).given)


def test_it_is_called_as_who_asked_for_it_calls_it(host):
    request = Conversation.from_dict(HELLO.to_dict() | {"grammar": "x"}, source="r.json")
    assert "take sampling.grammar: " in refused(host, "root ::= x").given
    for setup, who in ((Setup(), "r.json's grammar"), (Setup.from_dict({"sampling": {"grammar": "y"}}), "the setup's")):
        assert f"take {who}" in refused(host, "root ::= x", named=setup.sampling_names(request)).given


@pytest.mark.parametrize("bounds", ["{2,1}", "{2,0}", "{ 3 , 2 }"])
def test_bounds_that_llama_cpp_would_count_down_from_are_refused_beforehand(host, bounds):
    assert f"has the bounds {bounds} at line 2, column 10" in refused(host, f'root ::= a\na ::= "b"{bounds}').given


@pytest.mark.parametrize("fine", ["{2,2}", "{0,0}", "{0}", "{1,}", "{,}"])
def test_other_bounds_are_llama_cpps_own_affair(fine):
    assert gbnf.reversed_bounds(f'root ::= "a"{fine} "b{{2,1}}" # {{2,1}}') is None


def test_too_deep_is_said_as_another_thing_than_too_large(host):
    deep = "root ::= " + "(" * 2001 + '"a"' + ")" * 2001
    assert "brackets 2,001 deep in each other" in refused(host, deep).given
    assert host.generate([10], PLAIN | {"grammar": deep.replace("((", "(", 1).replace("))", ")", 1)}).ids


def test_brackets_in_texts_classes_and_comments_are_none():
    assert gbnf.depth('root ::= "((" [(\\](] # ((\n (("\\"(")) (".")') == 2


def test_a_token_beyond_the_vocabulary_is_refused(host):
    assert "names the token 267 at line 1, column 14" in refused(host, 'root ::= "a" <[267]> "<[999]>"').given
    assert host.generate([10], PLAIN | {"grammar": "root ::= <[266]>"}).ids == (266,)


@given(st.text('#{}<[("\\1,> \n', max_size=60), st.integers(1, 2000))
def test_any_text_is_walked_through_in_one_go(text, times):
    grammar = text * times
    assert 0 <= gbnf.depth(grammar) <= grammar.count("(")
    assert all(0 <= symbol.at < len(grammar) for symbol in gbnf.symbols(grammar[:500]))
    assert all(token >= 0 for token, _ in gbnf.token_ids(grammar))


def test_a_row_of_signs_is_read_in_one_way_alone():
    assert [word.kind for word in gbnf.words("{" + "#" * 5000 + "\n<" * 3000 + "<[" + "9" * 5000 + "]>")][-1:] == ["id"]
