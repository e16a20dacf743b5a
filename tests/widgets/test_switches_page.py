"""The tokenizer's switches: the page joined to the real widget and real hosts, without Jupyter."""

from __future__ import annotations

import hashlib

import pytest

from tests.browser.chromium import local_page
from tests.gguf import tiny
from tests.widgets.live import Live
from workbench.errors import BadRequest
from workbench.gguf import altered
from workbench.tokenizers.switches import KNOWN
from workbench.widgets.switches import TokenizerSwitches, try_switches

pytestmark = pytest.mark.browser
KEY = "metadata.tokenizer.ggml."


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    return tiny.vocabulary_file(tmp_path_factory.mktemp("bpe") / "bpe.gguf", "bpe")


@pytest.fixture(scope="module")
def spm(tmp_path_factory):
    return tiny.vocabulary_file(tmp_path_factory.mktemp("spm") / "spm.gguf", "spm")


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1000, "height": 800}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made
        assert faults == []


@pytest.fixture
def opened(page):
    """Opens switches in the page; their processes end with the test."""
    made: list[TokenizerSwitches] = []

    def open_(*given) -> tuple[TokenizerSwitches, Live]:
        made.append(try_switches(*given))
        live = Live(page, made[-1].panel)
        assert page.locator(".wb-switch-table tbody tr").count() == len(
            KNOWN
        )  # there while the first effect is computed
        settle(page, live, made[-1])
        return made[-1], live

    yield open_
    for one in made:
        one.close()


def settle(page, live: Live, shown: TokenizerSwitches) -> None:
    """Until the page shows what the last change does."""
    live.pump()
    assert shown.wait(60)
    live.until(lambda: page.locator(f".wb-switches[data-busy='false'][data-done='{shown._stamp}']").count() == 1)


def row(page, name: str):
    return page.locator(f"tr[data-name='{name}']")


def test_each_switch_shows_its_effect_and_is_taken_back(page, opened, bpe):
    before = hashlib.sha256(bpe.read_bytes()).hexdigest()
    shown, live = opened(bpe, "the<|im_end|>")
    assert "same ids" in page.locator(".wb-switch-verdict").inner_text()
    assert row(page, KEY + "eos_token_id").locator("td").first.inner_text() == "3 <|im_end|>"
    row(page, KEY + "add_bos_token").locator("select").select_option("yes")
    settle(page, live, shown)
    assert shown.effect.alignment.counts["inserted"] == 1
    assert "not the same to the model" in page.locator(".wb-switch-verdict").inner_text()
    row(page, KEY + "bos_token_id").locator("input").fill("1")
    row(page, KEY + "bos_token_id").locator("input").press("Tab")
    settle(page, live, shown)
    assert shown.effect.after.ids.tolist() == [1, 262, 3]
    assert "<|eos|>" in row(page, KEY + "bos_token_id").inner_text()
    row(page, "tokenizer.parse_special").locator("select").select_option("no")
    settle(page, live, shown)
    assert shown.effect.alignment.counts["split"] == 1
    page.get_by_label("undo every change").click()
    settle(page, live, shown)
    assert shown.changes == {}
    assert shown.effect.harmless
    assert row(page, KEY + "add_bos_token").locator("select").input_value() == ""
    assert hashlib.sha256(bpe.read_bytes()).hexdigest() == before


def test_types_and_keys_that_are_taken_out_need_a_copy_and_say_so(page, opened, bpe):
    shown, live = opened(bpe, "<|im_start|>the")
    page.get_by_label("token", exact=True).fill("<|im_start|>")
    page.get_by_label("type", exact=True).select_option("normal")
    page.get_by_text("Give it this type").click()
    settle(page, live, shown)
    assert shown.effect.alignment.counts["split"] == 1
    assert shown.switches.retyped[0][:2] == (2, "<|im_start|>")
    assert "needs an altered copy" in page.locator(".wb-switch-copy").inner_text()
    page.get_by_label("the file's own type of <|im_start|>").click()
    settle(page, live, shown)
    assert shown.effect.harmless
    row(page, KEY + "pre").get_by_text("take out").click()
    settle(page, live, shown)
    assert shown.changes == {KEY + "pre": None}
    assert "an altered copy" in row(page, KEY + "pre").inner_text()
    assert row(page, KEY + "pre").locator("input").get_attribute("placeholder") == "taken out"


def test_what_this_file_cannot_take_says_why(page, opened, spm, monkeypatch):
    monkeypatch.setattr(altered, "SPARE_BYTES", 1 << 62)
    _shown, _live = opened(spm, "hello")
    pre = row(page, KEY + "pre")
    assert "for BPE alone; this vocabulary is SPM" in pre.inner_text()
    assert pre.locator("input").is_disabled()
    assert row(page, KEY + "add_space_prefix").locator("select").is_enabled()
    assert page.get_by_text("Give it this type").is_disabled()
    assert "free some space" in page.get_by_text("Give it this type").get_attribute("title")
    assert "free some space" in _shown.html()


def test_mistakes_are_told_in_words_and_what_was_typed_stays(page, opened, bpe):
    shown, live = opened(bpe, "the")
    field = row(page, KEY + "eos_token_id").locator("input")
    for typed, words in (("99999", "from 0 to 266"), ("many", "a whole number")):
        field.fill(typed)
        field.press("Tab")
        settle(page, live, shown)
        assert words in page.locator(".wb-trouble").inner_text()
        assert (shown.effect, field.input_value()) == (None, typed)
    assert shown.below.outputs == ()
    shown.reset().change(**{KEY + "pre": "no-such-pre"})
    settle(page, live, shown)
    assert "does not load the model" in page.locator(".wb-trouble").inner_text()
    assert row(page, KEY + "pre").locator("input").input_value() == "no-such-pre"
    shown.reset()
    settle(page, live, shown)
    assert page.locator(".wb-trouble").is_hidden()
    assert shown.effect.harmless


def test_text_and_request_are_edited_here_and_there(page, opened, bpe):
    shown, live = opened(bpe, "the")
    text = page.get_by_label("what is tokenised")
    text.fill("th the")
    live.until(lambda: shown.given == "th the")
    settle(page, live, shown)
    assert len(shown.effect.before) == 3
    page.evaluate("document.activeElement.blur()")
    shown.read([{"role": "user", "content": "in"}])
    settle(page, live, shown)
    assert '"content": "in"' in text.input_value()
    assert page.get_by_label("read as").input_value() == "request"
    assert "template" in page.locator(".wb-trouble").inner_text()  # this file has none


def test_hostile_texts_run_nothing(page, opened, bpe):
    given = "<script>window.hacked=1</script>👩‍🚀\x00<x>" + "y" * 5_000
    shown, _live = opened(bpe, given.replace("\x00", ""))
    shown.change(**{KEY + "add_bos_token": True})
    shown.wait()
    page.evaluate("(html) => document.body.insertAdjacentHTML('beforeend', html)", shown.html())
    assert page.evaluate("window.hacked") is None
    assert page.locator("script, x").count() == 0
    assert "more tokens" in shown.html() or "(+" in shown.html()


def test_a_cancel_says_what_stands_there(page, opened, bpe):
    shown, live = opened(bpe, "the")
    kept = shown.effect
    shown.change(**{KEY + "add_bos_token": True}).cancel()
    shown.wait()
    live.pump()
    assert shown.effect is kept or "cancelled" not in shown.trouble
    assert page.locator(".wb-trouble").inner_text() == shown.trouble
    shown.run()
    settle(page, live, shown)
    assert shown.trouble == ""
    assert shown.effect.after.ids.tolist() == [0, 262]


def test_what_is_no_unicode_is_refused_at_once(bpe):
    with pytest.raises(BadRequest, match="lone surrogate"):
        try_switches(bpe, "\ud800")
