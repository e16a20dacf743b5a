"""The notebook and its explorer in a real JupyterLab, on the real demo model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser import walk
from tests.browser.chromium import local_page
from tests.browser.lab import DARK, Lab, lab_on, save, shut_down_kernel

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
HOSTILE = "<script>window.hacked=1</script></script><img src=x onerror=window.hacked=1><b>bold</b>"


@pytest.fixture(scope="module")
def lab(server, demo_model) -> Iterator[Lab]:
    with lab_on(server, "explorer") as running:
        yield running


@pytest.fixture
def page(browser):
    with local_page(browser) as made:
        yield made


def explorer_cell(body: dict, **changes) -> str:
    return f"from workbench import explore\nexplorer = explore(request={body!r}).change(**{changes!r})\nexplorer"


def question(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 12}


def test_the_notebook_runs_and_everything_is_linked(page, lab):
    walk.open_explorer(page, lab, walk.copy_notebook(lab.folder))
    page.locator(".js-plotly-plot").first.wait_for()
    walk.picture(page, "notebook-light")
    before = walk.tokens(page)

    place = next(i for i, text in enumerate(before) if "France" in text)
    page.locator(".wb-pane-tokens .wb-t").nth(place).click()
    for stage in ("messages", "rendered", "scores"):
        expect(page.locator(f".wb-pane-{stage} .wb-on").first).to_contain_text("France")
    expect(page.locator(".gtitle").first).to_contain_text(f"Token {place}:")
    expect(page.locator(".wb-inspector")).to_contain_text("messages[0].content")
    walk.picture(page, "selected-token")

    page.locator(".wb-pane-tokens .wb-strip").press("ArrowRight")
    expect(page.locator(".gtitle").first).to_contain_text(f"Token {place + 1}:")
    assert page.evaluate("document.activeElement.className") == "wb-strip"  # JupyterLab did not move to another cell

    stamp = walk.settle(page)
    page.get_by_label("special tokens in the text count").click()
    walk.after(page, stamp)
    assert len(walk.tokens(page)) > len(before)

    stamp = walk.settle(page)
    page.locator("[data-edit=template_text]").click()
    page.get_by_label("Chat template").fill("User: {{ messages[0].content }}\nBot:")
    walk.after(page, stamp)
    assert walk.tokens(page)[0] == "User"
    expect(page.locator(".wb-pane-rendered")).to_contain_text("Bot:")
    walk.picture(page, "edited-template")

    stamp = walk.settle(page)
    page.get_by_label("Chat template").fill("{% for m in messages %}\n{{ m.content }")
    walk.after(page, stamp)
    expect(page.locator("[data-error=template]")).to_contain_text("line 2")
    walk.picture(page, "broken-template")


def test_steps_dark_theme_and_an_answer_token(browser, server, demo_model):
    with lab_on(server, "explorer-dark", theme=DARK) as lab, local_page(browser) as page:
        walk.open_explorer(page, lab, walk.copy_notebook(lab.folder))
        assert page.locator(".wb").get_attribute("data-theme") == "dark"
        page.locator(".wb-pane-generation .wb-t").nth(1).click()
        expect(page.locator(".gtitle").first).to_contain_text("Answer token 1")
        walk.picture(page, "notebook-dark")
        page.get_by_role("button", name="Show as steps").click()
        page.get_by_role("tab", name="Scores").click()
        walk.picture(page, "steps-dark")


def test_hostile_text_and_template_run_nothing(page, lab):
    body = question(HOSTILE)
    cell = explorer_cell(body, until="scores")
    name = walk.write_notebook(lab.folder, "hostile.ipynb", cell, "shown = await explorer")
    walk.open_explorer(page, lab, name)
    for index in range(20, min(60, len(walk.tokens(page)))):
        page.locator(".wb-pane-tokens .wb-t").nth(index).click()
        if index % 8 == 0:
            page.wait_for_timeout(150)
    page.locator(".gtitle").first.wait_for()
    page.locator("[data-edit=template_text]").click()
    stamp = walk.settle(page)
    page.get_by_label("Chat template").fill(HOSTILE + "{{ raise_exception('" + HOSTILE + "') }}")
    walk.after(page, stamp)
    expect(page.locator("[data-error=template]")).to_contain_text("<script>")
    page.wait_for_timeout(1000)  # the static copy is brought up to date
    assert page.evaluate("window.hacked") is None
    assert page.locator(".wb img, .workbench-copy img, .wb b:text-is('bold')").count() == 0
    walk.picture(page, "hostile")


def test_a_saved_notebook_shows_its_results_without_a_kernel(page, lab):
    name = walk.copy_notebook(lab.folder)
    walk.open_explorer(page, lab, name)
    page.locator(".wb-pane-generation .wb-t").first.click()
    page.wait_for_timeout(1500)
    assert page.locator(".workbench-copy").last.is_hidden()  # the live view is there
    save(page)
    page.wait_for_timeout(1500)
    shut_down_kernel(page)
    saved = (lab.folder / name).read_text()
    notebook = nbformat.reads(saved, 4)
    assert "widgets" not in notebook.metadata
    assert len(saved) < 1_000_000
    page.goto("about:blank")
    page.goto(lab.url(name))
    copy = page.locator(".workbench-copy").last
    copy.wait_for()
    expect(copy).to_contain_text("The capital of France is Paris.")
    expect(copy).to_contain_text("Answer token 0")
    assert page.locator(".wb").count() == 0
    copy.scroll_into_view_if_needed()
    walk.picture(page, "saved-without-kernel")


def test_an_untrusted_copy_of_it_shows_the_same(page, lab):
    name = walk.write_notebook(lab.folder, "small.ipynb", explorer_cell(question("Hi")), "shown = await explorer")
    walk.open_explorer(page, lab, name)
    page.wait_for_timeout(1500)
    save(page)
    page.wait_for_timeout(1500)
    notebook = json.loads((lab.folder / name).read_text())
    notebook["cells"].append({"cell_type": "raw", "id": "stranger", "metadata": {}, "source": "not signed"})
    for cell in notebook["cells"]:
        cell["metadata"].pop("trusted", None)
    stranger = "stranger.ipynb"
    changed = json.dumps(notebook).replace("Trace explorer, static copy", "Trace explorer, static copy of a stranger")
    (lab.folder / stranger).write_text(changed)
    page.goto("about:blank")
    page.goto(lab.url(stranger))
    page.get_by_text("static copy of a stranger").wait_for()
    copy = page.locator(".jp-OutputArea-output", has_text="static copy of a stranger").last
    for words in ("Rendered", "Tokens", "Scores", "Answer", "im_start"):
        expect(copy).to_contain_text(words)
    box = copy.get_by_text("<|im_start|>", exact=True).last
    assert box.evaluate("(e) => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
    box.scroll_into_view_if_needed()
    page.screenshot(path=walk.artifacts() / "saved-untrusted.png")


def test_freeze_replaces_the_live_view(page, lab):
    name = walk.write_notebook(lab.folder, "frozen.ipynb", explorer_cell(question("Hello")), "shown = await explorer")
    walk.open_explorer(page, lab, name)
    page.get_by_role("button", name="Freeze for sharing").click()
    page.locator(".wb").wait_for(state="detached")
    expect(page.locator(".workbench-copy").first).to_contain_text("static copy")
    save(page)
    page.wait_for_timeout(1000)
    saved = (lab.folder / name).read_text()
    assert "widget-view+json" not in saved
    assert "workbench-copy" in saved


def test_long_work_can_be_cancelled_while_the_rest_stays_usable(page, lab):
    never_ends = {"logit_bias": {"0": False, "2": False, "4": False}}  # the ids that end an answer
    cell = explorer_cell(question("Write a long story.") | never_ends)
    name = walk.write_notebook(lab.folder, "long.ipynb", cell, "shown = await explorer")
    walk.open_explorer(page, lab, name)
    page.get_by_label("temperature").fill("1.2")
    page.get_by_label("max tokens").fill("3000")
    page.locator(".wb-cancel").wait_for(state="visible")
    walk.picture(page, "working")
    page.locator(".wb-pane-tokens .wb-t").nth(5).click()
    expect(page.locator(".gtitle").first).to_contain_text("Token 5:")
    page.locator(".wb-cancel").click()
    page.wait_for_function(walk.SETTLED, timeout=5_000)
    expect(page.locator(".wb-trouble")).to_contain_text("cancelled")
    stamp = walk.settle(page)
    page.get_by_label("max tokens").fill("3")
    walk.after(page, stamp)
    expect(page.locator(".wb-pane-generation .wb-aside")).to_have_text("3 tokens")
