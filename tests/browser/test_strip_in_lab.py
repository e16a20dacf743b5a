"""The token strip in a real JupyterLab: selection both ways, keys, what a saved notebook keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Page, expect

from tests.browser import walk
from tests.browser.chromium import local_page
from tests.browser.lab import DARK, Lab, lab_on, open_notebook, run_all, save, shut_down_kernel

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
TRACE = """
from workbench import strip, trace
from workbench.data import requests, toolsmith
found = trace(requests()["agent"], toolsmith(), until="scores")
shown = strip(found)
shown
"""
LONG = """
from workbench import Host, Setup, strip
from workbench.data import toolsmith
with Host(Setup(model=str(toolsmith()))) as host:
    tokens = host.tokenize("def add(a, b):\\n    return a + b  # café 👩‍🚀\\n" * 4000)
import dataclasses
SIZE = 5_000
cut = {name: getattr(tokens, name)[:SIZE] for name in ("ids", "pieces", "types", "spans", "byte_spans")}
shown = strip(dataclasses.replace(tokens, **cut))
shown
"""
HOSTILE = """
import numpy as np
from workbench import Tokens, strip
pieces = (b"<script>window.hacked=1</script>", b"<img src=x onerror=window.hacked=1>", b"</style>", b"\\x00",
          "\\u202eabc".encode(), b"\\xff", b"x" * 10_000, b"\\n" * 300) * 4
places = np.full((len(pieces), 2), -1)
shown = strip(Tokens(np.arange(len(pieces)), pieces, ("normal",) * len(pieces), places, places))
shown
"""


@pytest.fixture(scope="module")
def lab(server) -> Iterator[Lab]:
    with lab_on(server, "strip") as running:
        yield running


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with local_page(browser, viewport={"width": 1300, "height": 900}) as made:
        yield made


def open_strip(page: Page, lab: Lab, name: str, *cells: str) -> None:
    open_notebook(page, lab, walk.write_notebook(lab.folder, name, *cells))
    assert run_all(page) == []
    page.locator(".wb-token-strip[data-ready] .wb-t").first.wait_for()


def ask(page: Page, expression: str) -> str:
    """What an expression is in the notebook's kernel."""
    return str(
        page.evaluate(
            """async (code) => {
              const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const asked = { x: code };
              const reply = await kernel.requestExecute({ code: '', user_expressions: asked }).done;
              return reply.content.user_expressions.x.data['text/plain'];
            }""",
            expression,
        )
    )


def counts(page: Page) -> Any:
    """Number of cells, and how often each ran."""
    return page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map((c) => c.model.executionCount ?? null)"
    )


def test_what_is_selected_here_is_selected_there(page, lab):
    open_strip(page, lab, "both-ways.ipynb", TRACE)
    boxes = page.locator(".wb-t")
    boxes.nth(10).click()
    boxes.nth(14).click(modifiers=["Shift"])
    page.wait_for_timeout(300)
    assert ask(page, "shown.selection") == "(10, 15)"
    ask(page, "setattr(shown, 'selection', (200, 203))")
    expect(page.locator(".wb-chosen")).to_have_count(3)
    expect(page.locator(".wb-chosen").first).to_be_in_viewport()
    ask(page, "setattr(shown, 'colour', 'origin')")
    expect(page.locator(".wb-by select")).to_have_value("origin")
    expect(page.locator(".wb-legend").first).to_contain_text("system")
    page.locator(".wb-query").fill("type:control")
    page.wait_for_timeout(300)
    assert ask(page, "len(shown.found)") == page.locator(".wb-places").inner_text().split()[0]
    assert page.locator(".workbench-copy").is_hidden()
    walk.picture(page, "strip-light")


def test_keys_stay_in_the_strip(page, lab):
    open_strip(page, lab, "keys.ipynb", TRACE, "1 + 1")
    before = counts(page)
    page.locator(".wb-t").nth(5).click()
    for key in ("ArrowDown", "ArrowUp", "d", "d", "x", "a", "PageDown", "Escape", "/"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.className") == "wb-query"
    page.keyboard.type("tool")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Enter")
    page.wait_for_timeout(300)
    assert counts(page) == before
    assert ask(page, "shown.query") == "'tool'"


def test_dark_with_many_tokens(browser, server):
    with lab_on(server, "strip-dark", theme=DARK) as lab, local_page(browser) as page:
        open_strip(page, lab, "dark.ipynb", LONG.replace("5_000", "50_000"))
        assert page.locator(".wb-token-strip").get_attribute("data-theme") == "dark"
        assert page.locator(".wb-aside").first.inner_text() == "50,000"
        page.locator(".wb-strip").focus()
        page.keyboard.press("End")
        expect(page.locator(".wb-token-info")).to_contain_text("#49,999")
        assert page.locator(".wb-t").count() < 6_000
        walk.picture(page, "strip-dark")


def test_hostile_tokens_run_nothing_live_and_saved(page, lab):
    open_strip(page, lab, "hostile-strip.ipynb", HOSTILE)
    for i in range(8):
        page.locator(".wb-t").nth(i).click()
    page.wait_for_timeout(1200)  # the static copy is brought up to date
    walk.picture(page, "strip-hostile")
    assert page.evaluate("window.hacked") is None
    assert page.locator(".wb img, .workbench-copy img, .wb script, .workbench-copy script").count() == 0


def test_a_saved_notebook_is_small_and_shows_without_a_kernel(page, lab):
    open_strip(page, lab, "saved-strip.ipynb", LONG)
    page.locator(".wb-t").nth(3).click()
    page.wait_for_timeout(1500)
    save(page)
    page.wait_for_timeout(1500)
    shut_down_kernel(page)
    saved = (lab.folder / "saved-strip.ipynb").read_text()
    assert len(saved.encode()) < 2_000_000
    assert "widgets" not in nbformat.reads(saved, 4).metadata
    page.goto("about:blank")
    page.goto(lab.url("saved-strip.ipynb"))
    copy = page.locator(".workbench-copy")
    copy.wait_for()
    expect(copy).to_contain_text("more tokens behind, not shown")
    expect(copy).to_contain_text("selected: token 3")
    box = copy.locator("code").first
    assert box.evaluate("(e) => getComputedStyle(e).backgroundColor") != "rgba(0, 0, 0, 0)"
    copy.scroll_into_view_if_needed()
    walk.picture(page, "strip-saved")


def test_freeze_leaves_the_copy(page, lab):
    open_strip(page, lab, "frozen-strip.ipynb", TRACE)
    page.get_by_label("replace this live view").click()
    page.locator(".wb-token-strip").wait_for(state="detached")
    expect(page.locator(".workbench-copy")).to_contain_text("Token strip, static copy")


def test_even_a_saved_widget_state_is_small(tmp_path):
    name = walk.write_notebook(tmp_path, "state.ipynb", LONG)
    notebook = nbformat.read(tmp_path / name, 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=True, resources=resources).execute()
    assert "widgets" in notebook.metadata
    assert len(nbformat.writes(notebook).encode()) < 2_000_000
    page = "".join(o.get("data", {}).get("text/html", "") for o in notebook.cells[0].outputs)
    assert "Token strip, static copy" in page
