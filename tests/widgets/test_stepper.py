"""The template stepper: its values without a browser, its script in a bare page with a model that only remembers."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import expect

from workbench.errors import CannotRun
from workbench.setup import Setup, TemplateChoice
from workbench.widgets.copy import CLASS
from workbench.widgets.panes import styles
from workbench.widgets.stepper import TemplateStepper, script, step_through

SOURCE = """{% for m in messages %}
{% if m.role == 'system' %}
S{{ m.content }}
{% else %}
{{ '<' + m.role + '>' }}{{ m.content }}
{% endif %}
{% endfor %}"""
ASK = {"messages": [{"role": "user", "content": "Hi <b>\u202e"}, {"role": "assistant", "content": "Yo"}]}
MOUNT = """async ([source, css, state]) => {
  const heard = [];
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  window.state = { ...state, source: bytes(state.source), text: bytes(state.text) };
  const model = {
    get: (name) => window.state[name], save_changes: () => {},
    set: (name, value) => { window.state[name] = value; },
    on: (name, f) => heard.push([name, f]), off: () => {},
  };
  window.move = (position) => { window.state.position = position; heard.forEach(([, f]) => f()); };
  const style = document.createElement('style');
  style.textContent = css;
  document.head.append(style);
  const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  module.default.render({ model, el: document.body });
}"""


def stepper() -> TemplateStepper:
    return step_through(ASK, Setup(template=TemplateChoice("text:" + SOURCE)))


def test_it_holds_every_event_and_ends_at_the_last():
    found = stepper()
    kinds = [event[0] for event in found.events]
    assert kinds.count("loop") == 2
    assert kinds.count("if") == 2
    assert found.position == len(found.events)
    text = bytes(found.text).decode("utf-32-le")
    assert text == found.steps.rendered.text
    assert "".join(text[start:end] for start, end, *_ in found.pieces) == text
    assert found.events[-1][4] == len(text)


def test_its_static_copy_says_what_every_step_did_and_is_escaped():
    copy = stepper().html()
    assert copy.startswith(f'<div class="{CLASS}">')
    assert "loop turn 2" in copy
    assert "1 of its lines never ran" in copy
    assert "<b>" not in copy.replace("<b>Note:</b>", "")


def test_a_model_without_a_template_says_so():
    with pytest.raises(CannotRun, match="no chat template"):
        step_through(ASK, Setup(template=TemplateChoice("text:")))


@pytest.fixture
def page(browser):
    found = stepper()
    shown = browser.new_page(viewport={"width": 1000, "height": 600})
    shown.set_content("<!doctype html><body data-jp-theme-light='true'></body>")
    state = {name: base64.b64encode(bytes(getattr(found, name))).decode() for name in ("source", "text")}
    state |= {name: getattr(found, name) for name in ("events", "pieces", "variables", "never", "position")}
    shown.evaluate(MOUNT, [script(), styles(), state])
    yield shown
    shown.close()


@pytest.mark.browser
def test_keys_move_and_show_only_what_was_written_so_far(page):
    whole = page.locator(".wb-step-text").inner_text()
    assert "Hi <b>⟨U+202E⟩" in whole
    page.locator(".wb-stepper").focus()
    page.keyboard.press("Home")
    assert page.evaluate("state.position") == 0
    assert page.locator(".wb-step-text").inner_text().strip() == ""
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wb-step-now")).to_contain_text("loop")
    expect(page.locator(".wb-src-on")).to_contain_text("for m in messages")
    page.keyboard.press("End")
    assert page.locator(".wb-step-text").inner_text() == whole


@pytest.mark.browser
def test_a_click_on_text_jumps_to_its_line_and_a_line_shows_what_it_wrote(page):
    page.locator(".wb-stretch", has_text="Yo").click()
    expect(page.locator(".wb-src-on .wb-src-no")).to_have_text("5")
    page.locator(".wb-src", has_text="m.role + '>'").click()
    expect(page.locator(".wb-step-said")).to_contain_text("line 5: ")
    assert page.locator(".wb-stretch.wb-on").count() >= 4


@pytest.mark.browser
def test_lines_that_never_ran_are_marked_and_nothing_is_read_as_markup(page):
    assert page.locator(".wb-never .wb-src-no").all_inner_texts() == ["3"]
    assert page.locator(".wb-step-text b").count() == 0
    page.evaluate("window.move(1)")
    expect(page.locator(".wb-step-now")).to_contain_text("1 of")


@pytest.mark.browser
def test_variables_in_scope_follow_the_steps(page):
    value_of = """(name) => [...document.querySelectorAll('.wb-var')]
      .find((row) => row.firstChild.textContent === name)?.lastChild.textContent ?? null"""
    page.evaluate("window.move(0)")
    assert page.evaluate(value_of, "add_generation_prompt") == "True"
    assert page.evaluate(value_of, "m") is None
    page.evaluate("window.move(1)")
    assert "'role': 'user'" in page.evaluate(value_of, "m")
    page.locator(".wb-step", has_text="loop turn 2").click()
    assert "'role': 'assistant'" in page.evaluate(value_of, "m")
    expect(page.locator(".wb-var-new")).to_have_count(1)
