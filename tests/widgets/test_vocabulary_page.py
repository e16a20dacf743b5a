"""The vocabulary browser's page joined to the real widget, without Jupyter: search, keys, filters, hostile tokens."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.browser.chromium import local_page
from tests.gguf import tiny
from tests.widgets.live import Live
from tests.widgets.mount_strip import HOSTILE
from workbench.tokenizers.vocabulary import Vocabulary, read_vocabulary
from workbench.widgets.vocabulary import browse_vocabulary

pytestmark = pytest.mark.browser
TRAITS = ("query", "group", "selection")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Vocabulary:
    return read_vocabulary(tiny.vocabulary_file(tmp_path_factory.mktemp("v") / "bpe.gguf", "bpe"), merges=True)


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1000, "height": 700}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made
        assert faults == []


def opened(page, vocabulary: Vocabulary, **more) -> Live:
    shown = browse_vocabulary(vocabulary)
    shown.wait()
    return Live(page, shown, traits=TRAITS, **more)


def rows(page):
    return page.locator(".wb-vocab-space .wb-vocab-row")


def searched(page, live: Live, query: str) -> str:
    """How many a query finds, as the page says it."""
    page.locator(".wb-query").fill(query)
    live.until(lambda: live.widget.query == query)
    return page.locator(".wb-places").inner_text()


def made_up(n: int) -> Vocabulary:
    """A vocabulary of n tokens: the hostile ones, then numbers."""
    pieces = (*HOSTILE, *(f"w{i}".encode() for i in range(n - len(HOSTILE))))
    types = np.zeros(n, np.uint8)
    return Vocabulary("<x>.gguf", "gpt2", None, pieces, pieces, types, types, types.astype(bool), (), np.arange(n))


def test_what_is_typed_and_chosen_is_pythons_and_back(page, small):
    live = opened(page, small)
    assert page.locator(".wb-places").inner_text() == "267 tokens"
    assert searched(page, live, "th") == "3 tokens"
    assert [row.split()[0] for row in rows(page).all_inner_texts()] == ["261", "262", "264"]
    assert searched(page, live, "bytes:20 74") == "2 tokens"
    assert searched(page, live, "id:3") == "1 token"
    assert "no token id" in searched(page, live, "id:x")
    assert page.locator(".wb-query").get_attribute("aria-invalid") == "true"
    assert searched(page, live, "") == "267 tokens"
    page.get_by_label("show only").select_option("control")
    live.until(lambda: live.widget.group == "control")
    assert page.locator(".wb-places").inner_text() == "4 tokens"
    rows(page).nth(3).click()
    live.until(lambda: live.widget.selection == 3)
    assert "ends an answer" in page.locator(".wb-vocab-info").inner_text()
    live.widget.selection = 2
    live.pump()
    assert page.locator(".wb-vocab-on").inner_text().split()[1] == "<|im_start|>"
    live.widget.query, live.widget.group = "the", "all"
    live.pump()
    assert page.locator(".wb-query").input_value() == "the"
    assert page.locator(".wb-places").inner_text() == "2 tokens"


def test_a_token_shows_the_merges_that_led_to_it_and_goes_to_them(page, small):
    live = opened(page, small)
    live.widget.selection = 262
    live.pump()
    told = page.locator(".wb-vocab-merges li").all_inner_texts()
    assert [line.split(" rank")[0] for line in told] == ["t + h → id 261", "th + e → id 262"]
    page.locator(".wb-vocab-merges button").first.click()
    live.until(lambda: live.widget.selection == 261)
    assert page.locator(".wb-vocab-title").inner_text() == "th"
    live.widget.selection = 0
    live.pump()
    assert "matched whole" in page.locator(".wb-vocab-info").inner_text()


def test_keys_alone_are_enough_and_stay_inside(page, small):
    live = opened(page, small)
    page.evaluate("window.outside = []; document.addEventListener('keydown', (e) => window.outside.push(e.key))")
    page.locator(".wb-query").focus()
    page.keyboard.type("im_")
    live.until(lambda: live.widget.query == "im_")
    walk = [("Enter", -1), ("ArrowDown", 2), ("ArrowDown", 3), ("ArrowDown", 3), ("Home", 2), ("Escape", -1)]
    for key, expected in walk:
        page.keyboard.press(key)
        live.pump()
        assert live.widget.selection == expected, key
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.className") == "wb-query"
    assert page.evaluate("window.outside") == []


def test_of_many_tokens_only_those_near_the_screen_are_there(page):
    live = opened(page, made_up(262_144))
    assert page.locator(".wb-places").inner_text() == "262,144 tokens"
    page.locator(".wb-vocab-rows").focus()
    page.keyboard.press("End")
    live.until(lambda: live.widget.selection == 262_143)
    assert page.locator(".wb-vocab-on").inner_text().split()[:2] == ["262143", "w262132"]
    assert rows(page).count() < 60
    page.evaluate("document.querySelector('.wb-vocab-rows').scrollTop = 100000 * 24")
    live.until(lambda: "100000" in rows(page).nth(10).inner_text())
    live.widget.selection = 5_000
    live.until(lambda: page.locator(".wb-vocab-on").count() == 1)
    assert page.locator(".wb-vocab-on").inner_text().split()[0] == "5000"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hostile_tokens_are_text(page, theme):
    live = opened(page, made_up(60), theme=theme)
    page.get_by_label("show only").select_option("all")
    for i in range(len(HOSTILE)):
        live.widget.selection = i
        live.pump()
    searched(page, live, "<script>")
    assert rows(page).count() == 1
    assert page.evaluate("window.hacked") is None
    assert page.locator(".wb script, .wb b:text-is('x'), .wb style").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    copy = live.widget.html()
    assert "<script" not in copy
    assert "&lt;script&gt;" in copy


def test_reading_is_cancelled_and_begun_again(page, tmp_path):
    path = tiny.vocabulary_file(tmp_path / "bpe.gguf", "bpe")
    shown = browse_vocabulary(path)
    shown.cancel()
    shown.wait()
    live = Live(page, shown, traits=TRAITS)
    if shown.vocabulary is None:  # it may have been quicker
        assert "cancelled" in page.locator(".wb-trouble").inner_text()
        page.get_by_text("Read again").click()
    live.until(lambda: shown.vocabulary is not None and page.locator("[data-ready]").count() == 1)
    assert page.locator(".wb-places").inner_text() == "267 tokens"


def test_a_file_that_turns_out_bad_is_told_in_words(page, tmp_path):
    path = tiny.vocabulary_file(tmp_path / "bpe.gguf", "bpe")
    shown = browse_vocabulary(path)
    shown.wait()
    path.write_bytes(b"no GGUF at all")
    shown.vocabulary = shown._lookup = None
    shown.read()
    shown.wait()
    Live(page, shown, traits=TRAITS)
    assert "GGUF" in page.locator(".wb-trouble").inner_text()
    assert "GGUF" in shown.html()


def test_what_looks_special_is_told_and_leads_there(page, small):
    pieces = list(small.pieces)
    pieces[100] = b"<|IM_END|>"
    odd = dataclasses.replace(small, texts=tuple(pieces), pieces=tuple(pieces))
    live = opened(page, odd)
    page.get_by_label("show only").select_option("looks special")
    live.until(lambda: live.widget.group == "looks special")
    rows(page).last.click()
    live.until(lambda: live.widget.selection == 100)
    told = page.locator(".wb-vocab-info .wb-note")
    assert "the same as <|im_end|> but for case" in told.last.inner_text()
    told.last.locator("button").click()
    live.until(lambda: live.widget.selection == 3)
    assert "passes for this one" in page.locator(".wb-vocab-info").inner_text()
