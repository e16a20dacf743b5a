"""Live views of hostile tokens, names and figures: nothing runs, nothing breaks the page, and the text is shown."""

from __future__ import annotations

import base64
import json

import pytest

from tests.browser.chromium import local_page
from tests.widgets import hostile, mount_strip, test_stepper
from tests.widgets.mount import mount, show, tell
from workbench.compare.token_facts import TokenFacts
from workbench.setup import Setup, TemplateChoice
from workbench.views import html_of
from workbench.views.html import visible
from workbench.widgets.choices import Choices
from workbench.widgets.facts import controls
from workbench.widgets.panes import styles
from workbench.widgets.payload import of_stage
from workbench.widgets.sources import Sources
from workbench.widgets.stepper import script, step_through
from workbench.widgets.strip import TokenStrip, payload_of

INJECTED = "document.querySelectorAll('.wb img, .wb script, .wb style, .wb iframe, .wb a[href], [onmouseover]').length"


@pytest.fixture
def page(browser):
    """A page in which every fault counts: an exception, an error in the console, a dialog, a script that ran."""
    with local_page(browser, viewport={"width": 1100, "height": 900}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        made.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        yield made
        assert faults == []
        assert made.evaluate("window.hacked") is None
        assert made.evaluate(INJECTED) == 0
        assert made.evaluate("({}).polluted === undefined && Object.keys(Object.prototype).length === 0")


def travels(facts):
    """As a kernel sends it: strict JSON in UTF-8."""
    return json.loads(json.dumps(facts, ensure_ascii=False, allow_nan=False).encode())


@pytest.mark.parametrize("name", list(hostile.TEXTS))
def test_every_stage_travels_and_its_static_copy_is_plain(name):
    text = hostile.TEXTS[name]
    for value in hostile.stages(text).values():
        copy = html_of(value)
        copy.encode()
        assert len(copy) < 500_000
        assert "<img" not in copy
        assert "<script" not in copy
        assert "\u202e" not in copy
    for stage, value in hostile.stages(text).items():
        travels(of_stage(stage, value).facts)
    strip = TokenFacts(hostile.tokens(text), hostile.scores(4), hostile.rendered(text))
    travels(payload_of(strip).facts)


def test_names_that_json_cannot_carry_are_chosen_as_they_are():
    """As a file's name that is no UTF-8 is read."""
    sources = Sources(models=("/models/\udcff.gguf",), requests={"\udcfe": "{}"})
    sent = travels(controls(Choices(), sources, {}))
    shown = sent["options"]["model"][0][0]
    assert sources.applied(Choices(), {"model": shown}).model == "/models/\udcff.gguf"
    assert sources.applied(Choices(), {"request": sent["options"]["request"][0][0]}).request == "\udcfe"


@pytest.mark.browser
def test_the_explorer_shows_it_all_as_text(page):
    text = hostile.EVERYTHING
    mount(page)
    show(page, hostile.stages(text))
    for pane in ("messages", "rendered", "tokens", "generation", "parsed"):
        assert "⟨U+202E⟩gnp.exe" in page.locator(f".wb-pane-{pane}").inner_text(), pane
    rendered = page.locator(".wb-pane-rendered").inner_text()
    for part in ("image", "script", "style", "quotes", "template literal", "prototype"):
        assert hostile.TEXTS[part] in rendered, part
    names = Sources(models=(f"/models/{text}.gguf",), requests={text: "{}"}, before={text: text})
    tell(page, "controls", **travels(controls(Choices(), names, {"template": text, "request": text, "model": text})))
    tell(page, "trouble", text=visible(text))
    tell(page, "log", lines=[visible(text)] * 3)
    for token in range(page.locator(".wb-pane-tokens .wb-t").count()):
        page.locator(".wb-pane-tokens .wb-t").nth(token).click()
    page.locator(".wb-pane-tokens .wb-t").nth(1).hover()


@pytest.mark.browser
@pytest.mark.parametrize("name", ["long", "nothing", "surrogates swapped", "prototype"])
def test_the_explorer_takes_texts_of_every_length(page, name):
    mount(page)
    show(page, hostile.stages(hostile.TEXTS[name]))
    page.locator(".wb-pane-tokens .wb-t").nth(1).click()
    assert len(page.locator(".wb-pane-tokens .wb-t").nth(1).inner_text()) < 1_100
    assert page.locator(".wb-pane").count() >= 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 1_100


@pytest.mark.browser
def test_the_strip_shows_long_tokens_and_figures_that_are_no_numbers(page):
    shown = TokenStrip(
        TokenFacts(hostile.tokens(hostile.TEXTS["long"]), hostile.scores(4), hostile.rendered("W" * hostile.LONG))
    )
    mount_strip.mount(page, shown)
    for i in range(4):
        page.locator(".wb-t").nth(i).click()
    assert "WWW" in page.locator(".wb-t").nth(1).inner_text()
    assert len(page.locator(".wb-t").nth(1).inner_text()) < 1_000
    for colour in shown.colours:
        page.locator(".wb-by select").select_option(colour)
    said = page.locator(".wb-token-info").inner_text()
    assert "NaN" not in said
    assert "undefined" not in said


NAMES = """{% set __proto__ = 'first' %}{% set constructor = 'second' %}{% set hasOwnProperty = 3 %}
{% set constructor = 'third' %}{{ __proto__ }}{{ constructor }}{{ messages[0].content }}"""


@pytest.mark.browser
def test_the_stepper_shows_variables_of_any_name(page):
    asked = {"messages": [{"role": "user", "content": hostile.EVERYTHING}]}
    found = step_through(asked, Setup(template=TemplateChoice("text:" + NAMES)))
    for name in ("events", "pieces", "variables", "never"):
        travels(getattr(found, name))
    page.set_content("<!doctype html><body data-jp-theme-light='true'></body>")
    state = {name: base64.b64encode(bytes(getattr(found, name))).decode() for name in ("source", "text")}
    state |= {name: getattr(found, name) for name in ("events", "pieces", "variables", "never", "position")}
    page.evaluate(test_stepper.MOUNT, [script(), styles(), state])
    rows = dict(
        page.evaluate("[...document.querySelectorAll('.wb-var')].map((r) => [...r.children].map((c) => c.textContent))")
    )
    assert (rows["__proto__"], rows["constructor"], rows["hasOwnProperty"]) == ("'first'", "'third'", "3")
    page.evaluate("window.move(0)")
    page.evaluate("window.move(1)")
    marked = page.locator(".wb-var-new .wb-var-name").all_inner_texts()
    assert "constructor" not in marked  # not there before: it is no change of anything
    page.evaluate(f"window.move({found.position})")
    assert hostile.TEXTS["image"] in page.locator(".wb-step-text").inner_text()
