"""The template lab in a real JupyterLab: swap a template, edit it, compare the engines, step it, jump to a line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import walk
from tests.browser.chromium import artifacts, local_page
from tests.browser.lab import DARK, LIGHT, Lab, lab_on, open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
EXPLORE = """from workbench import explore
from workbench.data import requests
explorer = explore(request=requests()["tools"]).change(until="tokens")
explorer"""
STEP = """from workbench import Setup, step_through
from workbench.data import requests, templates
setup = Setup.from_dict({"template": {"source": f"file:{templates()['llama-3']}"}})
stepper = step_through(requests()["tools"], setup)
stepper"""


@pytest.fixture(scope="module", params=[LIGHT, DARK])
def lab(request, server, demo_model) -> Iterator[tuple[Lab, str]]:
    word = request.param.split()[1].lower()
    with lab_on(server, f"templates-{word}", theme=request.param) as running:
        yield running, word


@pytest.fixture
def page(browser):
    with local_page(browser) as made:
        yield made


def test_swap_edit_and_compare_the_engines(page, lab):
    running, theme = lab
    walk.open_explorer(
        page, running, walk.write_notebook(running.folder, "swap.ipynb", EXPLORE, "shown = await explorer")
    )
    stamp = walk.settle(page)
    page.get_by_label("template", exact=True).select_option("format:llama-3")
    walk.after(page, stamp)
    expect(page.locator(".wb-pane-rendered")).to_contain_text("<|start_header_id|>system")

    page.get_by_role("button", name="Other engines").click()
    engines = page.locator(".jp-OutputArea-output:visible", has_text="The same request by each engine").last
    expect(engines).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Where the prompt goes").click()
    expect(page.locator(".jp-OutputArea-output:visible", has_text="Where the prompt goes").last).to_be_visible()
    walk.picture(page, f"templates-{theme}")

    page.locator("[data-edit=template_text]").click()
    stamp = walk.settle(page)
    editor = page.get_by_label("Chat template")
    editor.press("Control+Home")
    editor.press_sequentially("Hello ")
    walk.after(page, stamp)
    expect(page.locator(".wb-pane-rendered .wb-prompt")).to_contain_text("Hello ")
    assert editor.input_value().startswith("Hello {#-")


def test_step_through_a_template_and_jump_from_a_character_to_its_line(page, lab):
    running, theme = lab
    open_notebook(page, running, walk.write_notebook(running.folder, "step.ipynb", STEP))
    assert run_all(page) == []
    stepper = page.locator(".wb-stepper")
    stepper.wait_for()
    assert stepper.get_attribute("data-theme") == theme
    stretch = page.locator(".wb-stretch", has_text="read_file").first
    stretch.click()
    line = page.locator(".wb-src-on .wb-src-no").inner_text()
    shown = page.locator(".wb-src-on .wb-src-text").inner_text()
    assert "tojson" in shown, (line, shown)
    expect(page.locator(".wb-var-name", has_text="tool").first).to_be_visible()
    before = page.locator(".wb-step-now").inner_text()
    stepper.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".wb-step-now")).not_to_have_text(before)
    assert page.evaluate("document.activeElement.classList.contains('wb-stepper')")
    page.locator(".wb-src").nth(int(line) - 1).click()
    expect(page.locator(".wb-step-said")).to_contain_text(f"line {line}: ")
    page.evaluate("() => document.querySelector('.wb-stepper').scrollIntoView()")
    page.screenshot(path=artifacts() / f"stepper-{theme}.png")
    assert page.locator(".workbench-copy").last.is_hidden()
