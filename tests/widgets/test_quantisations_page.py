"""The quantisation lab's page joined to a real lab on toolsmith: controls, strips, keys, trouble, both themes."""

import pytest

from tests.browser.chromium import local_page
from tests.widgets.live import Live
from tests.widgets.test_page import LEAST_CONTRAST
from workbench.data import requests, toolsmith
from workbench.setup import Setup
from workbench.widgets import precisions, quantisation_lab

CONTRAST = LEAST_CONTRAST.replace(
    "'.wb-t,", "'.wb-vcell, .wb-vpiece, .wb-vname, .wb-vtypes, .wb-vfigure span, .wb-vsides td, .wb-t,"
)
pytestmark = [pytest.mark.browser, pytest.mark.model]
ONE_THREAD = Setup.from_dict({"runtime": {"n_threads": 1}})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1200, "height": 900}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made
        assert faults == []


@pytest.fixture
def opened(page):
    """Opens a lab in the page; waits until it has settled."""
    labs = []

    def open_lab(*, theme="light", **options):
        lab = quantisation_lab(**{"types": ["Q2_K"], "setup": ONE_THREAD, **options})
        labs.append(lab)
        live = Live(page, lab.page, theme=theme)
        settle(live, lab)
        return live, lab

    yield open_lab
    for lab in labs:
        lab.close()


def settle(live, lab):
    """Until the worker rests and the page has heard of it."""
    live.until(lambda: lab.wait(0), tries=3_000)
    live.pump()


def tokens(page):
    return page.locator(".wb-vtoken")


def row(page, k):
    return page.locator(f"tbody tr[data-row='{k}']")


def test_it_shows_columns_strips_and_the_floor(page, opened):
    _, lab = opened()
    assert row(page, 0).inner_text().startswith("reference")
    assert "21 Q2_K, 15 Q3_K, 1 Q6_K" in row(page, 1).inner_text()
    assert row(page, 1).locator(".wb-wrong").inner_text() == "1.3789"
    assert "noise floor of the reference" in page.locator(".wb-vnotes").inner_text()
    assert page.locator(".wb-vanswer .wb-vpiece").first.inner_text() == "<tool_call>"
    flips = lab.found.flips(lab.found.others[0])
    drawn = page.evaluate("[...document.querySelectorAll('.wb-vcell')].filter((e) => e.textContent).length")
    assert 0 < drawn <= len(flips)
    assert page.locator(".wb-busy").is_hidden()


def test_a_change_of_the_cache_and_of_the_weights_is_live(page, opened):
    live, lab = opened()
    cost = row(page, 1).locator("[data-figure=cache]").inner_text()
    for name, value in (("weights", "Q4_0"), ("type_k", "q4_0"), ("flash", "on")):
        row(page, 1).locator(f"select[data-name={name}]").select_option(value)
        settle(live, lab)
    assert lab.choices.names[1] == "Q4_0, K q4_0, flash on"
    assert float(row(page, 1).locator("[data-figure=cache]").inner_text()) < float(cost)
    assert row(page, 1).locator("[data-figure=size]").inner_text() == "2.0"
    assert page.locator(".wb-vname", has_text="Q4_0, K q4_0").count() > 0


def test_columns_come_and_go_and_one_that_cannot_run_says_why(page, opened):
    live, lab = opened()
    page.get_by_role("button", name="+ add a column").click()
    settle(live, lab)
    assert len(lab.choices.columns) == 3
    row(page, 2).locator("select[data-name=weights]").select_option("IQ4_XS")
    settle(live, lab)
    row(page, 2).locator("select[data-name=flash]").select_option("off")
    settle(live, lab)
    row(page, 2).locator("select[data-name=type_v]").select_option("q8_0")
    settle(live, lab)
    assert "flash attention alone" in page.locator("tbody .wb-remark").inner_text()
    assert row(page, 1).locator("[data-figure=kl]").inner_text() == "1.3789"
    page.get_by_role("button", name="remove IQ4_XS").click()
    settle(live, lab)
    assert len(lab.choices.columns) == 2
    assert page.locator("tbody .wb-remark").count() == 0


def test_a_click_and_keys_show_the_candidates_of_each_side(page, opened):
    live, lab = opened()
    page.evaluate("window.outside = []; document.addEventListener('keydown', (e) => window.outside.push(e.key))")
    tokens(page).last.click()
    live.pump()
    assert lab.selection == len(lab.found) - 1
    sides = page.locator(".wb-vside")
    assert sides.count() == 2
    assert "◀ here" in sides.first.inner_text()
    for key in ("ArrowLeft", "p", "ArrowUp", "ArrowDown", "Home", "n"):
        page.keyboard.press(key)
        live.pump()
    first_flip = lab.found.flips(lab.found.others[0])[0].position + 1
    assert lab.selection == first_flip
    assert page.locator(".wb-vtoken.wb-at").get_attribute("aria-selected") == "true"
    assert "expects" in page.locator(".wb-vtoken.wb-at").get_attribute("aria-label")
    assert "first place flips, beyond the floor" in page.locator(".wb-vsides").inner_text()
    assert page.evaluate("window.outside") == []


def test_a_request_of_ones_own_and_one_that_is_wrong(page, opened):
    live, lab = opened()
    page.get_by_role("button", name="Edit request").click()
    box = page.get_by_label("request as JSON")
    box.fill("{oops")
    box.blur()
    settle(live, lab)
    assert "not JSON" in page.locator(".wb-trouble").inner_text()
    box.fill('{"messages": [{"role": "user", "content": "what is 2 plus 2"}], "max_tokens": 4}')
    box.blur()
    settle(live, lab)
    assert page.locator(".wb-trouble").is_hidden()
    assert page.get_by_label("request", exact=True).input_value() == ""
    assert b"2 plus 2" in b"".join(lab.found.tokens.pieces)


def test_files_of_a_large_base_wait_for_a_click(page, opened, monkeypatch, tmp_path):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(precisions, "MADE_AT_ONCE_BYTES", 1)
    live, lab = opened(types=["Q4_1"])
    assert "Q4_1 is not made yet" in page.locator("tbody .wb-remark").inner_text()
    page.get_by_role("button", name="Make the missing files").click()
    settle(live, lab)
    assert page.get_by_role("button", name="Make the missing files").is_hidden()
    assert lab.found["Q4_1"].pair is not None


def test_panels_are_buttons_that_stay_pressed(page, opened):
    live, lab = opened()
    page.get_by_role("button", name="Quality", exact=True).click()
    settle(live, lab)
    assert page.get_by_role("button", name="Quality", exact=True).get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="Measure, or go on").is_visible()
    assert type(lab.under).__name__ == "Quality"
    page.get_by_role("button", name="Quality", exact=True).click()
    settle(live, lab)
    assert lab.under is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hostile_text_runs_nothing_and_every_colour_reads(page, opened, theme):
    live, _ = opened(theme=theme, request=requests()["hostile-markup"], model=toolsmith())
    assert page.evaluate("document.title") == ""
    assert page.locator(".wb script, .wb img").count() == 0
    tokens(page).nth(5).click()
    live.pump()
    least, who = page.evaluate(CONTRAST)
    assert least >= 4.5, f"{least:.2f} {who}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
