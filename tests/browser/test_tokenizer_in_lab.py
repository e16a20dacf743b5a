"""The vocabulary browser and the tokenizer's switches in a real JupyterLab: both ways, saved, in the dark theme."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser import walk
from tests.browser.chromium import local_page
from tests.browser.lab import DARK, Lab, lab_on, open_notebook, run_all, save, shut_down_kernel
from tests.browser.test_strip_in_lab import ask, counts

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
VOCABULARY = """
from workbench import browse_vocabulary
from workbench.data import demo_model
shown = browse_vocabulary(demo_model())
shown
"""
SWITCHES = """
from workbench import try_switches
from workbench.data import toolsmith
shown = try_switches(toolsmith())
shown
"""


@pytest.fixture(scope="module")
def lab(server) -> Iterator[Lab]:
    with lab_on(server, "tokenizer") as running:
        yield running


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with local_page(browser, viewport={"width": 1300, "height": 900}) as made:
        yield made


def opened(page: Page, lab: Lab, name: str, *cells: str) -> None:
    open_notebook(page, lab, walk.write_notebook(lab.folder, name, *cells))
    assert run_all(page) == []


def saved_copy(page: Page, lab: Lab, name: str) -> str:
    """What the saved notebook shows without a kernel."""
    page.wait_for_timeout(1500)  # the static copy is brought up to date
    save(page)
    page.wait_for_timeout(1500)
    shut_down_kernel(page)
    text = (lab.folder / name).read_text()
    assert len(text.encode()) < 2_000_000
    assert "widgets" not in nbformat.reads(text, 4).metadata
    page.goto("about:blank")
    page.goto(lab.url(name))
    page.locator(".workbench-copy").wait_for()
    return page.locator(".workbench-copy").inner_text()


def test_a_vocabulary_is_searched_chosen_from_and_saved(page, lab):
    opened(page, lab, "vocabulary.ipynb", VOCABULARY, "1 + 1")
    page.locator(".wb-vocab[data-ready]").wait_for()
    before = counts(page)
    page.locator(".wb-query").fill("France")
    expect(page.locator(".wb-places")).to_have_text("4 tokens")
    page.locator(".wb-query").press("Enter")
    for key in ("ArrowDown", "d", "d", "a", "x"):
        page.keyboard.press(key)
    expect(page.locator(".wb-vocab-merges li")).to_have_count(6)
    assert counts(page) == before
    assert ask(page, "(shown.query, shown.entry.piece)") == "('France', b' France')"
    ask(page, "[setattr(shown, 'query', ''), setattr(shown, 'group', 'control')]")
    expect(page.locator(".wb-places")).to_have_text("17 tokens")
    ask(page, "setattr(shown, 'selection', 2)")
    expect(page.locator(".wb-vocab-on")).to_contain_text("<|im_end|>")
    assert page.locator(".workbench-copy").is_hidden()
    walk.picture(page, "vocabulary-light")
    told = saved_copy(page, lab, "vocabulary.ipynb")
    assert "17 of 49,152 tokens" in told
    assert "Token 2" in told


def test_switches_show_what_they_do_and_are_saved(browser, server):
    with lab_on(server, "tokenizer-dark", theme=DARK) as lab, local_page(browser) as page:
        opened(page, lab, "switches.ipynb", SWITCHES)
        page.locator(".wb-switches[data-busy='false'][data-done]").wait_for()
        field = page.get_by_label("pre-tokenizer", exact=True)
        field.fill("qwen2")
        field.press("Tab")
        verdict = page.locator(".wb-switch-verdict")
        expect(verdict).to_contain_text("not the same to the model")
        below = page.locator(".jp-OutputArea-output", has_text="Effect of a change").last
        expect(below).to_contain_text("split")
        ask(page, "shown.reset().retype('<tool_call>', 'control') and None")
        expect(page.locator(".wb-switch-retyped")).to_contain_text("<tool_call>: control")
        expect(verdict).to_contain_text("as before")
        ask(page, "shown.change(**{'metadata.tokenizer.ggml.pre': 'qwen2'}) and None")
        expect(verdict).to_contain_text("not the same to the model")
        assert page.locator(".wb-switches").get_attribute("data-theme") == "dark"
        assert page.locator(".workbench-copy").is_hidden()
        walk.picture(page, "switches-dark")
        told = saved_copy(page, lab, "switches.ipynb")
        assert "Effect of a change" in told
        assert "The file itself is never changed" in told
