"""The runtime lab in a real JupyterLab: settings by widget, strips, charts and costs; a server killed, a cancel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import walk
from tests.browser.chromium import artifacts, local_page
from tests.browser.lab import Lab, lab_on, open_notebook, run_all
from tests.browser.test_strip_in_lab import ask

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
CELL = """
import psutil
from workbench import Setup, runtime_lab
from workbench.data import toolsmith
def servers():
    hosts = psutil.Process().children(recursive=True)
    return [child for child in hosts if "workbench.runtime.rpc" in child.cmdline()]
endless = {"runtime.n_threads": 1, "sampling.logit_bias": {"3": False}}  # never the end of a turn
lab = runtime_lab(a=Setup(model=str(toolsmith())).replace(**endless))
lab
"""
SETTLED = """() => {
  const root = document.querySelector('.wb-runtime');
  return root && root.dataset.busy === 'false' && root.dataset.done;
}"""


@pytest.fixture(params=["light", "dark"])
def lab(server, request) -> Iterator[tuple[Lab, str]]:
    theme = f"JupyterLab {request.param.title()}"
    with lab_on(server, f"runtime-{request.param}", theme=theme) as running:
        yield running, request.param


def settled(page: Page, stamp: int = -1) -> int:
    """Wait until a later run than `stamp` has settled; its stamp."""
    page.locator(".wb-runtime").wait_for()
    page.wait_for_function(f"() => ({SETTLED})() && Number(({SETTLED})()) > {stamp}", timeout=180_000)
    return int(page.locator(".wb-runtime").get_attribute("data-done"))


def knob(page: Page, name: str, side: str) -> Any:
    return page.locator(f'[data-knob="{name}"] [data-side="{side}"]')


def test_settings_by_widget(browser, lab):
    running, theme = lab
    name = walk.write_notebook(running.folder, "runtime.ipynb", CELL)
    with local_page(browser, viewport={"width": 1280, "height": 1500}) as page:
        open_notebook(page, running, name)
        assert run_all(page) == []
        stamp = settled(page)
        assert page.locator(".workbench-copy").is_hidden()
        stamp = change_the_kv_type(page, stamp)
        stamp = move_layers(page, stamp, theme)
        stamp = kill_the_server(page, stamp, theme)
        stamp = ask_for_too_much(page, stamp)
        stamp = cancel_a_long_answer(page, stamp)
        page.get_by_role("button", name="Freeze for sharing").click()
        page.locator(".wb-runtime").wait_for(state="detached")
        expect(page.locator(".workbench-copy")).to_contain_text("Runtime lab, static copy")
        walk.picture(page, f"runtime-frozen-{theme}")
        assert ask(page, "len(servers())") == "0"


def change_the_kv_type(page: Page, stamp: int) -> int:
    """The KV type: a new context, a difference in numbers, strips and chart."""
    knob(page, "type_k", "b").select_option("q4_0")
    stamp = settled(page, stamp)
    expect(page.locator('[data-knob="type_k"]')).to_have_class("wb-knob-row wb-differs")
    expect(page.get_by_text("a new context,").first).to_be_visible()
    expect(page.get_by_text("the answers part at token").first).to_be_visible()
    strips = page.locator(".wb-token-strip[data-ready]")
    expect(strips).to_have_count(2)
    strips.first.locator(".wb-t").nth(4).click()
    expect(strips.last.locator(".wb-chosen")).to_have_count(1)
    page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for()
    return stamp


def move_layers(page: Page, stamp: int, theme: str) -> int:
    """Layers: the loopback device on, the slider to its middle by keys."""
    knob(page, "rpc", "b").check()
    stamp = settled(page, stamp)
    slider = knob(page, "n_gpu_layers", "b").locator("input")
    for _ in range(3):
        slider.press("ArrowRight")
    stamp = settled(page, stamp)
    page.wait_for_timeout(400)
    stamp = settled(page)
    expect(page.locator('[data-card="b"]')).to_contain_text("RPC0 3-4; output layer: RPC0.")
    expect(page.locator('[data-card="b"] .wb-place.wb-d1')).to_have_count(3)
    assert ask(page, "lab.result.b.cost") == "'reload'"
    assert "RPC0" in ask(page, "str({p.device for p in lab.result.b.memory.parts if p.reported})")
    page.get_by_label("by layer").check()
    stamp = settled(page, stamp)
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    walk.picture(page, f"runtime-{theme}")
    page.evaluate("() => document.querySelector('.js-plotly-plot').scrollIntoView()")
    page.wait_for_timeout(600)
    page.screenshot(path=artifacts() / f"runtime-results-{theme}.png")
    return stamp


def kill_the_server(page: Page, stamp: int, theme: str) -> int:
    """The server dies: an error in words, the other side and the session go on."""
    assert ask(page, "[server.kill() for server in servers()]") == "[None]"
    knob(page, "n_threads", "a").scroll_into_view_if_needed()
    knob(page, "n_batch", "b").fill("256")
    knob(page, "n_batch", "b").press("Enter")
    stamp = settled(page, stamp)
    expect(page.locator('[data-card="b"] .wb-aside')).to_contain_text("died")
    expect(page.get_by_text("RPC server crashed").first).to_be_attached()
    walk.picture(page, f"runtime-died-{theme}")
    page.get_by_role("button", name="Run", exact=True).click()
    stamp = settled(page, stamp)
    expect(page.locator('[data-card="b"] .wb-aside')).to_contain_text("loaded")
    return stamp


def ask_for_too_much(page: Page, stamp: int) -> int:
    """What cannot be is refused with what would."""
    knob(page, "n_ctx", "b").fill("2000000000")
    knob(page, "n_ctx", "b").press("Enter")
    stamp = settled(page, stamp)
    expect(page.locator('[data-card="b"]')).to_contain_text("set runtime.n_ctx to at most")
    knob(page, "n_ctx", "b").fill("")
    knob(page, "n_ctx", "b").press("Enter")
    stamp = settled(page, stamp)
    assert json.loads(ask(page, "lab.result.b.state").replace("'", '"')) == "loaded"
    return stamp


def cancel_a_long_answer(page: Page, stamp: int) -> int:
    """A long answer is cancelled, and what was had stays."""
    page.get_by_label("answer, tokens at most").fill("950")
    page.get_by_label("answer, tokens at most").press("Enter")
    page.get_by_role("button", name="Cancel").click()
    stamp = settled(page, stamp)
    expect(page.locator(".wb-trouble")).to_contain_text("cancelled; what was computed before stays")
    assert ask(page, "lab.result.b.state") == "'loaded'"
    return stamp
