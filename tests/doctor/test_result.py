"""The value: its sentence, its table, its texts; what stands in it cannot steer a page or a terminal."""

import pytest

from workbench.cli.doctor import describe
from workbench.doctor.check import Check, listed
from workbench.doctor.installed import bare
from workbench.doctor.result import Doctor
from workbench.environment import Environment
from workbench.views.doctor import view

NOTHING = Environment.from_dict({})
GOOD = Check("Python", "pass", "3.11")
WARN = Check("browser", "warn", "none is found", "apt-get install chromium")
BAD = Check("demo model", "fail", "another hash", "python -m workbench.demo_model")
WORSE = Check("engine ollama", "fail", "it wrote 'x'", "python -m workbench.ollama_engine")
OPEN = Check("proof", "not evaluated", "none was run", "make setup")

SENTENCES = [
    ((GOOD, OPEN), "everything that is needed works"),
    ((GOOD, WARN), "everything that is needed works; worth a look: browser"),
    ((GOOD, WARN, BAD), "1 thing is broken: demo model"),
    ((BAD, WORSE), "2 things are broken: demo model and engine ollama"),
]


@pytest.mark.parametrize(("checks", "sentence"), SENTENCES)
def test_the_verdict_is_one_sentence_above_the_table(checks, sentence):
    value = Doctor(checks, NOTHING)
    assert value.verdict == sentence
    assert repr(value).splitlines()[0] == next(describe(value)) == sentence
    assert sentence in view(value)
    assert value.broken == (BAD in checks)


def test_each_line_has_its_fix_everywhere():
    value = Doctor((GOOD, WARN, BAD, OPEN), NOTHING)
    frame = value.to_frame()
    assert list(frame.columns) == ["name", "verdict", "detail", "fix"]
    assert list(frame["verdict"]) == ["pass", "warn", "fail", "not evaluated"]
    for check in (WARN, BAD, OPEN):
        for text in (repr(value), "\n".join(describe(value)), view(value)):
            assert check.detail in text
            assert check.fix in text
    assert value["browser"] == WARN
    assert value._repr_html_() == view(value)


HOSTILE = ["<x>", "</script>", "\u202e", "\x1b[2J", "😀", ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(text):
    other = Environment.from_dict({"system": {text: text}})
    from workbench.doctor.against import differences

    value = Doctor((Check(text, "fail", text, text),), NOTHING, differences(NOTHING, other))
    html = view(value)
    assert "<x>" not in html
    assert "</script>" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html


def test_a_url_is_shown_without_what_is_secret():
    assert bare("git+https://user:secret@example.org/fork?token=1#x") == "git+https://example.org/fork"
    assert bare("file:///home/me/x.whl") == "file:///home/me/x.whl"


def test_items_are_listed_in_words():
    assert [listed([]), listed("a"), listed("ab"), listed("abc")] == ["none", "a", "a and b", "a, b and c"]
