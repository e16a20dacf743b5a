"""The editors of the explorer: line numbers and colours that never differ from the text, the error at its line."""

from __future__ import annotations

import random

import pytest

from tests.browser.chromium import local_page
from tests.widgets import examples
from tests.widgets.mount import mount, show, tell
from workbench import data
from workbench.widgets.choices import Choices
from workbench.widgets.facts import controls
from workbench.widgets.sources import Sources

pytestmark = pytest.mark.browser
WRONG_JSON = '{\n "messages": [\n  {"role": "user",}\n ]\n}'
EXPOSE = "\nwindow.colourJinja = colourJinja; window.CodeEditor = CodeEditor; window.h = h;"
DRAWN = "() => [...document.querySelectorAll('.wb-editor:not([hidden]) .wb-code-lines')].map((e) => e.textContent)"
# A new editor on the same text colours it in one go.
FRESH = """(text) => {
  const field = h('textarea');
  const editor = new CodeEditor(field, colourJinja);
  field.value = text;
  editor.draw();
  return editor.lines.innerHTML;
}"""


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1150, "height": 900}) as made:
        mount(made, extra=EXPOSE)
        show(made, examples.stages("Hello", "Hi"))
        made.locator("[data-edit=template_text]").click()
        yield made


def give(page, template: str, *, request: str = "{}", **error) -> None:
    choices = Choices(template="text", template_text=template, request_text=request)
    tell(page, "controls", **controls(choices, Sources(), **({"errors": {}} | error)))


def field(page):
    return page.get_by_label("Chat template")


def parts(page, kind: str) -> list[str]:
    return page.locator(f".wb-editor:not([hidden]) .wb-c-{kind}").all_inner_texts()


def test_colours_say_what_a_part_is(page):
    give(page, "{# a\nb #}Hi{% if x == 'y' %}{{ 12 }}{% endif %}")
    assert parts(page, "comment") == ["{# a", "b #}"]
    assert parts(page, "word") == ["if", "endif"]
    assert "".join(parts(page, "string")) == "'y'"
    assert parts(page, "number") == ["12"]
    assert parts(page, "text") == ["Hi"]
    assert page.locator(".wb-editor:not([hidden]) .wb-code-no").all_inner_texts() == ["1", "2"]


@pytest.mark.parametrize(
    ("template", "texts", "strings"),
    [
        ('{{ {"a": {"b": 1}} }} text', [" text"], '"a""b"'),
        ('{{ "a\nb" }} c', [" c"], '"ab"'),
        ("{% raw %}{{ x }}{% endraw %}y", ["{{ x }}", "y"], ""),
        ("{% set a = '%}' %}z", ["z"], "'%}'"),
        ('{{ "\\"" }}w', ["w"], '"\\""'),
    ],
)
def test_a_tag_ends_where_jinja_ends_it(page, template, texts, strings):
    give(page, template)
    assert parts(page, "text") == texts
    assert "".join(parts(page, "string")) == strings


@pytest.mark.parametrize("name", ["llama-3", "command-r", "mistral-v7"])
def test_the_coloured_text_is_the_text(page, name: str):
    templates = data.templates()
    text = templates.get(name, next(iter(templates.values()))).read_text("utf-8")
    give(page, text)
    assert page.evaluate(DRAWN) == [text + "\n"]


def test_after_any_edits_the_colours_are_those_of_the_whole_text(page):
    draw = random.Random(7)
    text = data.templates()["llama-3"].read_text("utf-8")
    give(page, text)
    for _ in range(40):
        at = draw.randrange(len(text) + 1)
        cut = min(len(text), at + draw.choice([0, 0, 1, 30, 200]))
        text = text[:at] + draw.choice(["", "\n", "{#", "#}", "{{ 'a", "%}", "x\ny\nz", "'"]) + text[cut:]
        field(page).evaluate("(el, text) => { el.value = text; el.dispatchEvent(new Event('input')); }", text)
        now = page.evaluate("document.querySelector('.wb-editor:not([hidden]) .wb-code-lines').innerHTML")
        assert now == page.evaluate(FRESH, text)


def test_an_error_stands_at_its_line_until_the_text_changes(page):
    give(page, "a\n{{ b }}\nc", errors={"template": "line 2"}, place=(2, 4), request=WRONG_JSON)
    marked = page.locator(".wb-editor:not([hidden]) .wb-code-no.wb-code-wrong")
    assert marked.all_inner_texts() == ["2"]
    field(page).press_sequentially("x")
    assert marked.count() == 0


def test_a_request_that_is_no_json_is_marked_where_it_ceases_to_be(page):
    give(page, "a", errors={"request": "not JSON"}, request=WRONG_JSON)
    assert page.locator(".wb-code-no.wb-code-wrong").all_inner_texts() == ["3"]


def test_the_colours_scroll_with_the_text(page):
    give(page, "\n".join(f"line {n} " + "x" * 400 for n in range(100)))
    field(page).evaluate("(el) => { el.scrollTop = 300; el.scrollLeft = 120; el.dispatchEvent(new Event('scroll')); }")
    moved = page.locator(".wb-editor:not([hidden]) .wb-code-lines").evaluate("(el) => el.style.transform")
    assert moved == "translate(-120px, -300px)"


def test_nothing_in_a_template_is_read_as_markup(page):
    give(page, "<img src=x onerror=alert(1)>{{ '</div><script>' }}")
    assert page.locator(".wb-code img, .wb-code script").count() == 0


def test_a_line_of_any_length_is_shown(page):
    text = "{{ x }}" * 9000
    give(page, text)
    assert page.evaluate(DRAWN) == [text + "\n"]
