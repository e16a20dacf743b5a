"""The quantisation lab in a real JupyterLab: types and caches by widget, a quality pass cancelled, what is saved."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import walk
from tests.browser.chromium import local_page
from tests.browser.lab import DARK, lab_on, open_notebook, run_all, save, shut_down_kernel
from tests.browser.test_strip_in_lab import ask
from workbench.data import held_out_file

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
SHOW = """
import os
os.environ["GGUF_WORKBENCH_CACHE"] = "CACHE"
from workbench import Setup, quantisation_lab
lab = quantisation_lab(types=["Q8_0", "Q4_0", "Q2_K"], setup=Setup.from_dict({"runtime": {"n_threads": 1}}))
lab
"""
WAIT_MS = 120_000
MOST_CANCEL_MS = 1000
# Presses Cancel; milliseconds until the page says that nothing runs.
CANCEL = """async () => {
  const [lab, begun] = [document.querySelector('.wb-quantisations'), performance.now()];
  lab.querySelector('.wb-cancel').click();
  while (lab.dataset.busy !== 'false') await new Promise((rest) => setTimeout(rest, 5));
  return performance.now() - begun;
}"""


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with local_page(browser, viewport={"width": 1360, "height": 1000}) as made:
        yield made


def rest(page: Page) -> None:
    """Wait until it has settled with strips on screen."""
    page.locator(".wb-quantisations[data-ready]").wait_for(timeout=WAIT_MS)
    page.wait_for_function(
        "() => document.querySelector('.wb-quantisations').dataset.busy === 'false'", timeout=WAIT_MS
    )


def done(page: Page) -> int:
    """How many works have ended."""
    return int(page.locator(".wb-quantisations").get_attribute("data-done") or 0)


def after(page: Page, work) -> None:
    """Do something in the page and wait for what it starts."""
    before = done(page)
    work()
    page.wait_for_function(
        f"() => Number(document.querySelector('.wb-quantisations').dataset.done) > {before}", timeout=WAIT_MS
    )
    rest(page)


def figure(page: Page, k: int, name: str) -> str:
    return page.locator(f"tbody tr[data-row='{k}'] [data-figure={name}]").inner_text()


def put(page: Page, k: int, name: str, value: str) -> None:
    after(page, lambda: page.locator(f"tbody tr[data-row='{k}'] select[data-name={name}]").select_option(value))


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def open_lab(page: Page, lab, name: str) -> None:
    cache = str(lab.folder.parent / "cache")
    open_notebook(page, lab, walk.write_notebook(lab.folder, name, SHOW.replace('"CACHE"', repr(cache))))
    assert run_all(page) == []
    rest(page)


def test_types_and_caches_by_widget_and_a_quality_pass_cancelled(page, server, tmp_path):
    (tmp_path / "long.txt").write_text(held_out_file().read_text("utf-8")[:200_000])
    with lab_on(server, "quantisations") as lab:
        open_lab(page, lab, "walk.ipynb")
        flips, cache, size = (figure(page, 1, name) for name in ("kl", "cache", "size"))
        put(page, 1, "type_k", "q4_0")
        assert figure(page, 1, "kl") != flips
        assert float(figure(page, 1, "cache")) < float(cache)
        put(page, 1, "weights", "Q4_K_M")
        assert float(figure(page, 1, "size")) < float(size)
        assert ask(page, "lab.choices.names[1]") == "'Q4_K_M, K q4_0'"
        page.locator(".js-plotly-plot").first.wait_for()  # damage by position
        page.locator(".wb-vanswer .wb-vtoken").nth(6).click()
        expect(page.locator(".wb-vside")).to_have_count(4)
        walk.picture(page, "quantisations-light")
        page.get_by_label("column that layers and tensor groups are of").select_option("3")
        after(page, lambda: press(page, "Layers"))
        page.locator(".jp-RenderedHTMLCommon:visible").filter(has_text="Where it begins").first.wait_for()
        walk_shot(page, "quantisations-layers-light")

        after(page, lambda: press(page, "Quality"))
        whole = ask(page, "lab.under.chunks")
        page.get_by_label("text to measure quality on").fill(str(tmp_path / "long.txt"))
        page.get_by_label("text to measure quality on").blur()
        page.locator(".wb-busy:not([hidden])").wait_for()
        others = re.compile(rf"gguf, (?!{whole} chunks)[\d,]+ chunks")  # not the figures of the text before
        page.locator(".jp-RenderedHTMLCommon:visible").filter(has_text=others).first.wait_for(timeout=WAIT_MS)
        took_ms = page.evaluate(CANCEL)
        print(f"cancelled in {took_ms:.0f} ms")
        assert took_ms < MOST_CANCEL_MS
        expect(page.locator(".wb-vquality + .wb-remark")).to_contain_text("was cancelled after")
        measured = int(ask(page, "lab.under.chunks"))
        assert measured > 0
        walk_shot(page, "quantisations-quality-light")
        press(page, "Measure, or go on")
        page.wait_for_timeout(1500)
        page.evaluate(CANCEL)
        assert int(ask(page, "lab.under.chunks")) >= measured

        page.wait_for_timeout(1500)  # the static copy is brought up to date
        save(page)
        page.wait_for_timeout(1500)
        shut_down_kernel(page)
        page.goto("about:blank")
        page.goto(lab.url("walk.ipynb"))
        copy = page.locator(".workbench-copy")
        copy.wait_for()
        expect(copy).to_contain_text("One request, several setups")
        expect(copy).to_contain_text("Quality")
        walk.picture(page, "quantisations-saved")
        assert len((lab.folder / "walk.ipynb").read_bytes()) < 2_000_000


def walk_shot(page: Page, name: str) -> None:
    """What stands below the strips."""
    page.wait_for_timeout(800)  # charts fade in, and what is drawn moves what is below it
    page.evaluate("() => document.querySelector('.wb-under').scrollIntoView()")
    page.wait_for_timeout(400)
    page.screenshot(path=walk.artifacts() / f"{name}.png")


def test_dark(page, server):
    with lab_on(server, "quantisations-dark", theme=DARK) as lab:
        open_lab(page, lab, "dark.ipynb")
        assert page.locator(".wb-quantisations").get_attribute("data-theme") == "dark"
        page.locator(".wb-vanswer .wb-vtoken").nth(6).click()
        expect(page.locator(".wb-vside")).to_have_count(4)
        walk.picture(page, "quantisations-dark")
        after(page, lambda: press(page, "KV cache"))
        walk_shot(page, "quantisations-cache-dark")
        press(page, "Freeze for sharing")
        page.locator(".wb-quantisations").wait_for(state="detached")
        expect(page.locator(".workbench-copy")).to_contain_text("Quantisations, static copy")
