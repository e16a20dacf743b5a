"""What counts as right, read through the real parsers."""

import pytest

from workbench.conversation import Conversation
from workbench.damage.judge import judge
from workbench.damage.tasks import Task
from workbench.parsers import parse
from workbench.stages import Generation
from workbench.values import FrozenJSON

READ = '<tool_call>\n{"name": "read", "arguments": {"path": "a.py", "n": 3}}\n</tool_call>'
LIST = '<tool_call>\n{"name": "ls", "arguments": {"dir": "src"}}\n</tool_call>'
CALLS = [{"name": "read", "arguments": {"path": "a.py", "n": 3}}, {"name": "ls", "arguments": {"dir": "src"}}]
CODE = "```python\ndef f(x):\n    return x * 2\n```"


def task(kind, answer, calls=()):
    content = "" if calls else answer
    talk = Conversation.of([{"role": "user", "content": "x"}])
    return Task("t", kind, False, talk, answer, content, FrozenJSON(list(calls)))


def facts(one, text, *, stop="end-of-generation", parser="auto"):
    generation = Generation((), stop, "", text)
    return judge(one, generation, parse(text, parser=parser, complete=stop == "end-of-generation"))


def test_right_answers_of_each_kind_are_exact():
    assert facts(task("call", READ, CALLS[:1]), READ) == (True, True, True, True, None)
    assert facts(task("two calls", f"{READ}\n{LIST}", CALLS), f"{READ}\n{LIST}") == (True, True, True, True, None)
    assert facts(task("answer", "Done: x."), "Done: x.") == (True, None, None, None, None)
    assert facts(task("code", CODE), CODE) == (True, None, None, None, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (READ.replace('"read"', '"write"'), (False, True, False, True, None)),
        (READ.replace("a.py", "b.py"), (False, True, True, False, None)),
        (READ.replace("3}", '"3"}'), (False, True, True, False, None)),
        (READ.replace("3}", "3"), (False, False, True, True, None)),
        (f"{READ}\n{LIST}", (False, True, False, False, None)),
        ("I have no tool for that.", (False, False, False, False, None)),
        ("", (False, False, False, False, None)),
    ],
    ids=["name", "argument", "type", "brace", "one too many", "no call", "nothing"],
)
def test_wrong_calls_say_what_is_wrong(text, expected):
    found = facts(task("call", READ, CALLS[:1]), text)
    assert found.exact is False
    if text != READ.replace("3}", "3"):  # what is left of a call without its brace is the parser's affair
        assert found == expected


def test_an_answer_that_never_ended_is_not_exact():
    assert facts(task("answer", "Done: x."), "Done: x.", stop="max-tokens").exact is False


def test_words_beside_a_call_are_not_exact_but_its_parts_are_right():
    assert facts(task("call", READ, CALLS[:1]), f"Sure.\n{READ}") == (False, True, True, True, None)


def test_a_call_in_place_of_plain_words_is_not_exact():
    assert facts(task("no tool", "I have no tool for that."), READ).exact is False


def test_a_parser_that_finds_no_calls_damages_a_right_answer():
    assert facts(task("call", READ, CALLS[:1]), READ, parser="plain") == (False, False, False, False, None)


@pytest.mark.parametrize("text", ["```python\ndef f(x:\n```", "def f(x): return x", "```js\nf()\n```"])
def test_code_that_is_no_python_does_not_parse(text):
    assert facts(task("code", CODE), text).code is False


def test_values_are_equal_as_json_not_as_python_sees_them():
    one = task("call", READ, CALLS[:1])
    for wrong in ("3.0", "true"):
        assert not facts(one, READ.replace(": 3}", f": {wrong}}}")).arguments
    assert facts(one, READ.replace('{"path": "a.py", "n": 3}', '{"n": 3, "path": "a.py"}')).arguments
