"""A template's steps: their pieces tile the text, and each tells which variables are in scope behind it."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.engines.templates import published, some
from workbench.engines.environment import Clock
from workbench.engines.instrument import Generator
from workbench.engines.positions import SourceMap
from workbench.engines.watch import WatchGenerator, WatchRecorder
from workbench.engines.worker import tracked_environment
from workbench.errors import BadRequest
from workbench.setup import Setup, TemplateChoice
from workbench.steps import Steps, template_steps
from workbench.views import html_of

ASK = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}


def steps(source: str) -> Steps:
    found = template_steps(ASK, Setup(template=TemplateChoice("text:" + source)))
    text = found.rendered.text or ""
    edges = [0, *(piece.end for piece in found.pieces)]
    assert [piece.start for piece in found.pieces] == edges[:-1]
    assert edges[-1] == len(text)
    lengths = [found.length(count) for count in range(len(found.steps) + 1)]
    assert lengths == sorted(lengths)
    return found


def own(found: Steps, count: int) -> dict[str, str]:
    """The variables that the template itself has set."""
    given = found.at(0)
    return {name: value for name, value in found.at(count).items() if given.get(name) != value}


def behind(found: Steps, kind: str, text: str, nth: int = 0) -> dict[str, str]:
    """The template's own variables behind the `nth` step of a kind that says or wrote `text`."""
    hits = [n for n, s in enumerate(found.steps) if s.kind == kind and text in (s.detail or found.text_of(n))]
    return own(found, hits[nth] + 1)


@pytest.mark.parametrize("kind", [Generator, WatchGenerator])
def test_the_same_template_becomes_the_same_code(kind):
    """Nodes are known by their identity, which Python gives again when one is forgotten."""
    environment = tracked_environment(Clock(datetime(2026, 1, 2)))  # noqa: DTZ001  as the templates are told it

    def code(source: str) -> str:
        made = kind(environment, SourceMap(source))
        made.loaded(environment._parse(source, None, None), WatchRecorder())
        return made.written.getvalue()

    unlike = [name for name, source in some(published()).items() if len({code(source) for _ in range(5)}) > 1]
    assert unlike == []


def test_steps_come_in_the_order_in_which_they_happen():
    found = steps("A{% for m in messages %}<{{ m.role }}>{% endfor %}Z")
    kinds = ["text", "loop", "text", "output", "text", "loop", "text", "output", "text", "text"]
    assert [step.kind for step in found.steps] == kinds
    assert [found.length(count) for count in (0, 1, 3, 4, 10)] == [0, 1, 2, 6, 19]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% macro m(x) %}A{{ x }}B{% endmacro %}{{ m(1) }}|{{ m(2) }}", "A1B|A2B"),
        ("{% set x %}{{ 'ab' }}{% endset %}{{ x }}----{{ x }}", "ab----ab"),
        (
            "{% set c %}{% for m in messages %}<{{ m.role }}>{% endfor %}{% endset %}S{{ c }}{{ c }}",
            "S<user><assistant><user><assistant>",
        ),
    ],
)
def test_what_a_macro_or_a_block_wrote_stands_where_it_stands(source, text):
    found = steps(source)
    assert found.rendered.text == text
    assert "".join(text[piece.start : piece.end] for piece in found.pieces) == text


def test_the_inner_expression_is_who_wrote_it_wherever_it_stands():
    found = steps("{% set x %}{{ 'ab' }}{% endset %}{{ x }}----{{ x }}")
    inner = next(n for n, step in enumerate(found.steps) if step.kind == "output")
    assert found.text_of(inner) == "abab"
    assert found.length(inner + 1) == 0  # it was written into a variable


def test_what_a_loop_sets_ends_with_its_turn_and_the_loop_with_its_last():
    found = steps("{% for m in messages %}{% set r = m.role %}[{{ r }}]{% set s = 1 %};{% endfor %}end")
    assert set(behind(found, "loop", "turn 1")) == {"m"}
    assert behind(found, "text", ";", 1)["r"] == "'assistant'"
    assert set(behind(found, "text", ";", 1)) == {"m", "r", "s"}
    assert set(behind(found, "loop", "turn 2")) == {"m"}
    assert behind(found, "text", "end") == {}


def test_a_namespace_shows_what_it_holds_whoever_changed_it():
    found = steps("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}end")
    assert behind(found, "set", "ns =")["ns"] == "namespace(n=0)"
    assert behind(found, "text", "end") == {"ns": "namespace(n=2)"}
    macro = "{% macro f(n) %}{% set n.a = 5 %}{% endmacro %}{% set ns = namespace(a=1) %}{{ f(ns) }}{{ ns.a }}!"
    assert behind(steps(macro), "text", "!") == {"ns": "namespace(a=5)"}


def test_a_macro_sees_its_arguments_and_not_its_caller_s_variables():
    source = "{% macro say(who, how='so') %}{{ who }}{{ how }}{% endmacro %}{% set top = 1 %}"
    found = steps(source + "{% for m in messages %}{{ say(m.role) }}.{% endfor %}")
    inside = {"top": "1", "who": "'assistant'", "how": "'so'"}
    assert {k: v for k, v in behind(found, "output", "so", 1).items() if k != "say"} == inside
    assert set(behind(found, "text", ".")) - {"say"} == {"top", "m"}


def test_each_call_of_a_recursive_macro_has_variables_of_its_own():
    found = steps("{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}<{{ n }}>{% endif %}{% endmacro %}{{ f(2) }}")
    assert found.rendered.text == "21<1><2>"
    outputs = [n for n, step in enumerate(found.steps) if step.kind == "output" and found.text_of(n) in ("1", "2")]
    assert [(found.text_of(n), own(found, n + 1)["n"]) for n in outputs] == [
        ("2", "2"),
        ("1", "1"),
        ("1", "1"),
        ("2", "2"),
    ]


def test_a_recursive_loop_goes_back_to_the_outer_turn():
    source = "{% for x in [[1, [[2, []], [3, []]]]] recursive %}({{ loop(x[1]) }}{{ x[0] }}){% endfor %}"
    found = steps(source)
    assert found.rendered.text == "((2)(3)1)"
    last = next(n for n, step in enumerate(found.steps) if step.kind == "output" and found.text_of(n) == "1")
    assert own(found, last + 1)["x"] == "[1, 2 items]"
    turns = [step.detail for step in found.steps if step.kind == "loop"]
    assert turns == ["turn 1", "turn 1", "turn 2"]


@pytest.mark.parametrize(
    ("source", "inside", "where"),
    [
        ("{% with x = 5 %}{{ x }}{% endwith %}!", {"x": "5"}, "5"),
        ("{% macro m() %}{{ caller(7) }}{% endmacro %}{% call(y) m() %}<{{ y }}>{% endcall %}!", {"y": "7"}, "7"),
        ("{% set a %}{% set b = 1 %}{{ b }}{% endset %}!", {"b": "1"}, "1"),
        ("{% filter upper %}{% set z = 1 %}{{ z }}{% endfilter %}!", {"z": "1"}, "1"),
        ("{% for x in [] %}{% else %}{% set e = 1 %}{{ e }}{% endfor %}!", {"e": "1"}, "1"),
        ("{% for x in [1] %}{% block q %}{{ 9 }}{% endblock %}{% endfor %}!", {}, "9"),
    ],
)
def test_a_block_s_variables_end_with_it(source, inside, where):
    found = steps(source)
    texts = [n for n, step in enumerate(found.steps) if step.kind == "output"]
    first = own(found, texts[0] + 1)
    assert {name: value for name, value in first.items() if name != "m"} == inside, (where, found.steps)
    assert set(behind(found, "text", "!")) <= {"a", "m"}


def test_a_block_set_becomes_a_variable_when_it_ends():
    found = steps("{% set a = 1 %}{% set a %}2{% endset %}{{ a }}")
    assert [step.detail for step in found.steps if step.kind == "set"] == ["a = 1", "a (a block)"]
    assert own(found, len(found.steps))["a"] == "'2'"


def test_an_inner_variable_hides_an_outer_one_for_as_long_as_it_lives():
    found = steps("{% set x = 1 %}{% for m in messages %}{% set x = 2 %}in{% endfor %}out")
    assert behind(found, "text", "in")["x"] == "2"
    assert behind(found, "text", "out")["x"] == "1"


def test_each_name_of_a_tuple_is_a_variable():
    found = steps("{% set a, b = 1, 2 %}{% set a = 3 %}{% for k, v in [[4, 5]] %}.{% endfor %}")
    assert behind(found, "text", ".") == {"a": "3", "b": "2", "k": "4", "v": "5"}


def test_what_a_line_wrote():
    found = steps("Hello\nWorld\n{% for m in messages %}\n{{ m.role }}\n{% endfor %}")
    assert [found.wrote(line) for line in (1, 2, 4)] == ["Hello\n", "World\n", "user\nassistant\n"]


@pytest.mark.parametrize(
    ("source", "never"),
    [
        ("{% if false %}\n{{ 1 }}\n{% endif %}\n{{ 2 }}", (2,)),
        ("{% for x in [] %}\n{{ x }}\n{% endfor %}", (2,)),
        ("{% filter upper %}\na\n{% endfilter %}", ()),
        ("{{\n 1 }}", ()),
        ("{% raw %}\n{{ y }}\n{% endraw %}{# {{ x }} #}", ()),
        ("a\r\nb\r{{ 2 }}\r{% if false %}{{ 3 }}{% endif %}", ()),
        ("a\r\nb\r{% if false %}\r{{ 3 }}{% endif %}", (4,)),
    ],
)
def test_lines_on_which_something_could_have_run_and_nothing_did(source, never):
    assert steps(source).never == never


def test_a_failing_template_ends_with_its_error_and_keeps_its_variables():
    found = steps_of_failing("a{% set x = 3 %}{{ raise_exception('no') }}")
    assert found.steps[-1].kind == "error"
    assert own(found, len(found.steps)) == {"x": "3"}


def steps_of_failing(source: str) -> Steps:
    return template_steps(ASK, Setup(template=TemplateChoice("text:" + source)))


@pytest.mark.waits
def test_a_template_that_is_stopped_says_so():
    with pytest.raises(BadRequest, match="TimeLimit"):
        steps_of_failing("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")


def test_more_steps_than_are_kept_are_counted_and_nothing_false_is_said_of_them():
    found = steps("{% for i in range(7000) %}{{ i }}{% set y = i %}\n{% endfor %}\n{{ 'end' }}")
    assert found.steps[-1].kind == "more"
    assert "more events are not kept" in found.steps[-1].detail
    assert found.text_of(len(found.steps) - 1).endswith("end")
    assert found.never == ()


@pytest.mark.parametrize(
    "source",
    [
        "{% macro m(caller) %}x{% endmacro %}{{ m(1) }}",
        "{% for x in [2 ** (messages | length * 20000)] %}{{ messages[0].content }}{% endfor %}",
        "{% set ns = namespace(all=messages) %}{% macro f(n) %}{{ n.all | length }}{% endmacro %}{{ f(ns) }}",
    ],
)
def test_watching_changes_nothing(source):
    assert steps(source).rendered.error is None


@pytest.mark.parametrize("source", ["plain <script>", "{{ messages | tojson }}"])
def test_every_template_has_a_view(source: str):
    assert "<script>" not in html_of(steps(source))


def test_what_comes_behind_steps_that_are_not_kept_stands_behind_them():
    found = steps("{% for i in range(30000) %}{{ i }}{% endfor %}end")
    assert [step.kind for step in found.steps[-2:]] == ["more", "text"]
    assert [step.at for step in found.steps] == sorted(step.at for step in found.steps)


def test_many_steps_become_a_table_at_once():
    began = time.monotonic()
    table = steps("{% for i in range(9000) %}{{ i }},{% endfor %}").to_frame()
    assert time.monotonic() - began < 20  # it took minutes, piece by piece for every step
    assert "".join(table["text"]) == "".join(f"{i}," for i in range(9000))


def test_what_cannot_be_stepped_says_on_which_line():
    with pytest.raises(BadRequest, match="TemplateSyntaxError at line 2: Expected an expression"):
        steps("a\n{% if %}")
