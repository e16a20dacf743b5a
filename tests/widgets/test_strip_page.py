"""The token strip's page in a browser, with a model that only remembers: no Jupyter, no kernel."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.chromium import local_page
from tests.widgets.mount_strip import HOSTILE, WRONG, many, mount, packed, shown, tokens_of, wait_for_tokens
from tests.widgets.test_page import LEAST_CONTRAST
from workbench.compare.tokens import align_tokens
from workbench.errors import WorkbenchError
from workbench.stages import TOKEN_TYPES
from workbench.widgets.strip import strip

pytestmark = pytest.mark.browser
QUERIES = ["paris", "IS <p", "id:12", "type:control", "type:control-like", "bytes:3c 50", "bytes:3C50", "text:id:1"]
WIDTHS = """() => {
  const box = document.querySelector('.wb-strip');
  return [document.documentElement.scrollWidth - innerWidth, box.scrollWidth - box.clientWidth, box.scrollHeight];
}"""


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1000, "height": 700}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made
        assert faults == []


def chosen(page):
    return page.evaluate("state.selection")


def boxes(page):
    return page.locator(".wb-t")


def strip_box(page):
    return page.locator(".wb-strip")


def test_it_asks_for_its_tokens_and_says_so_until_they_come(page):
    made = shown()
    wait_for_tokens(page, made)
    assert page.evaluate("window.sent") == [{"type": "hello"}]
    assert "not sent them" in strip_box(page).inner_text()
    message, buffers = packed(made)
    page.evaluate("([m, b]) => window.arrive(m, window.unpack(b))", [message, buffers])
    assert boxes(page).all_inner_texts()[:3] == ["<s>", "<|im_start|>", "user"]
    assert page.evaluate("window.saved") == 0


def test_click_shift_click_and_keys_select(page):
    mount(page, shown())
    page.evaluate("window.outside = []; document.addEventListener('keydown', (e) => window.outside.push(e.key))")
    last = len(shown().facts) - 1
    boxes(page).nth(3).click()
    assert chosen(page) == [3, 4]
    boxes(page).nth(6).click(modifiers=["Shift"])
    assert chosen(page) == [3, 7]
    assert page.locator(".wb-chosen").count() == 4
    boxes(page).nth(1).click(modifiers=["Shift"])
    assert chosen(page) == [1, 4]
    walk = [("ArrowRight", [2, 3]), ("Shift+ArrowRight", [2, 4]), ("Shift+End", [2, last + 1]), ("Home", [0, 1])]
    walk += [("ArrowLeft", [0, 1]), ("End", [last, last + 1]), ("ArrowRight", [last, last + 1])]
    walk += [("Shift+Home", [0, last + 1]), ("Escape", [0, 0]), ("ArrowRight", [1, 2])]
    for key, expected in walk:
        page.keyboard.press(key)
        assert chosen(page) == expected, key
    page.keyboard.press("ArrowDown")
    below = chosen(page)[0]
    assert below > 1
    page.keyboard.press("ArrowUp")
    assert chosen(page)[0] < below
    assert page.evaluate("window.outside") == []
    assert page.locator(".wb-t.wb-at").get_attribute("aria-selected") == "true"
    assert (
        page.evaluate("document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).i")
        == (chosen(page)[0])
    )


def test_hover_and_focus_say_everything(page):
    mount(page, shown(other=[1, 2, 3]))
    boxes(page).nth(4).hover()
    told = page.locator(".wb-token-info").inner_text()
    for part in ("#4", "id 14", "normal", "72 65 20 69", "probability", "rank", "entropy", "user messages[0].content"):
        assert part in told, part
    assert "other changed: (1) (2) (3)" in told  # ids alone: nothing is known of their pieces
    boxes(page).nth(1).click()
    page.mouse.move(0, 0)
    assert "control" in page.locator(".wb-token-info").inner_text()
    assert "control" in page.locator(".wb-at").get_attribute("aria-label")


def test_hover_shows_what_the_other_has(page):
    made = shown()
    letters = tokens_of([bytes([byte]) for byte in made.facts.rendered.text.encode()])
    alignment = align_tokens(made.facts.tokens, letters, made.facts.rendered.text)
    mount(page, strip(made.facts.tokens, other=alignment))
    assert page.locator(".wb-by select").input_value() == "difference"
    boxes(page).nth(2).hover()
    assert "other split: u (12) s (13) e (14) r (15)" in page.locator(".wb-token-info").inner_text()


def test_python_moves_the_view(page):
    tokens, scores = many(20_000)
    mount(page, strip(tokens, scores))
    page.evaluate("window.put('selection', [15000, 15003])")
    for _ in range(3):
        page.wait_for_timeout(60)  # frames in which neighbours are drawn
        assert in_sight(page, 15_000)
    assert page.locator(".wb-chosen").count() == 3
    page.evaluate("window.put('colour', 'rank')")
    assert page.locator(".wb-by select").input_value() == "rank"
    assert "over 100" in page.locator(".wb-legend").first.inner_text()
    page.evaluate("window.put('query', 'id:3')")
    assert page.locator(".wb-query").input_value() == "id:3"
    assert in_sight(page, next(i for i in range(15_002, 20_000) if tokens.ids[i] == 3))
    page.evaluate("window.put('query', 'id:5')")
    page.evaluate("window.put('selection', [0, 0])")
    assert page.locator(".wb-chosen").count() == 0
    assert page.evaluate("window.saved") == 0  # nothing of this goes back


def in_sight(page, i):
    return page.evaluate(
        """(i) => {
          const box = document.querySelector('.wb-strip').getBoundingClientRect();
          const el = [...document.querySelectorAll('.wb-t')].find((e) => e.i === i)?.getBoundingClientRect();
          return Boolean(el && el.top >= box.top && el.bottom <= box.bottom);
        }""",
        i,
    )


def test_only_what_is_near_is_in_the_page_and_pages_go_down_and_up(page):
    tokens, scores = many(50_000)
    mount(page, strip(tokens, scores))
    assert 0 < boxes(page).count() < 3_000
    boxes(page).first.click()
    page.keyboard.press("PageDown")
    first = chosen(page)[0]
    assert first > 20
    assert in_sight(page, first)
    page.keyboard.press("PageDown")
    assert chosen(page)[0] > first
    page.keyboard.press("Shift+PageUp")
    assert chosen(page)[1] - chosen(page)[0] > 20
    page.keyboard.press("End")
    page.wait_for_timeout(60)
    assert chosen(page) == [49_999, 50_000]
    assert in_sight(page, 49_999)
    page.keyboard.press("Home")
    page.wait_for_timeout(60)
    assert in_sight(page, 0)
    assert boxes(page).count() < 6_000


def test_the_search_in_the_page_finds_what_python_finds(page):
    made = shown()
    pieces = [*made.facts.tokens.pieces, b"[INST]", *HOSTILE, "É".encode(), b"id:1", b"\xff\x80", b"\x80"]
    types = [*made.facts.tokens.types, *["normal"] * (len(pieces) - len(made.facts))]
    made = strip(tokens_of(pieces, types))
    mount(page, made)
    for query in [
        *QUERIES,
        *(f"type:{kind}" for kind in TOKEN_TYPES),
        "é",
        "É",
        "bytes:80",
        "bytes:ff80",
        "",
        "xx",
        *WRONG,
    ]:
        page.locator(".wb-query").fill(query)
        made.query = query
        try:
            expected = made.found.tolist()
        except WorkbenchError:
            assert page.locator(".wb-query").get_attribute("aria-invalid") == "true", query
            continue
        marked = {i for start, end in expected for i in range(start, end)}
        drawn = page.evaluate("[...document.querySelectorAll('.wb-hit')].map((e) => e.i)")
        assert set(drawn) == marked, query
        words_said = page.locator(".wb-places").inner_text()
        assert words_said == ("" if not query else "1 place" if len(expected) == 1 else f"{len(expected)} places"), (
            query
        )


def test_keys_alone_search_and_go_from_place_to_place(page):
    tokens, scores = many(5_000)
    mount(page, strip(tokens, scores))
    strip_box(page).focus()
    page.keyboard.press("/")
    page.keyboard.type("return")
    assert page.evaluate("state.query") == "return"
    assert chosen(page) == [0, 0]  # typing shows the place, Enter takes it
    places = np.flatnonzero(tokens.ids == 7)
    for key, k in [
        ("Enter", 0),
        ("Enter", 1),
        ("Enter", 2),
        ("Shift+Enter", 1),
        ("Shift+Enter", 0),
        ("Shift+Enter", -1),
    ]:
        page.keyboard.press(key)
        assert chosen(page) == [places[k], places[k] + 1], key
    assert page.locator(".wb-places").inner_text() == f"{len(places):,} of {len(places):,}"
    page.wait_for_timeout(60)
    assert in_sight(page, int(places[-1]))
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "wb-strip"
    page.keyboard.press("ArrowRight")
    assert chosen(page)[0] == places[-1] + 1


def test_types_are_outlined_counted_and_searched(page):
    pieces = [b"<|a|>", b"<b>", b"\x0a", b"<unk>", b"[INST]", b"plain"]
    mount(page, strip(tokens_of(pieces, ["control", "user_defined", "byte", "unknown", "normal", "normal"])))
    styles = page.evaluate("[...document.querySelectorAll('.wb-t')].map((e) => getComputedStyle(e).outlineStyle)")
    assert styles == ["solid", "solid", "dashed", "solid", "dotted", "none"]
    page.get_by_role("button", name="normal, looks like control: 1").click()
    assert page.evaluate("state.query") == "type:control-like"
    assert chosen(page) == [4, 5]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hostile_tokens_run_nothing_and_break_nothing(page, theme):
    mount(page, strip(tokens_of(HOSTILE * 3)), theme=theme)
    assert page.evaluate("window.hacked") is None
    assert page.locator(".wb script, .wb b:text-is('x')").count() == 0
    for i in range(len(HOSTILE)):
        boxes(page).nth(i).click()
    texts = boxes(page).all_text_contents()
    assert "⟨U+202E⟩evil" in texts
    assert "\\xed\\xa0\\x80" in texts
    assert "⟨U+0000⟩" in texts
    assert "∅" in texts
    wide, inside, high = page.evaluate(WIDTHS)
    assert wide <= 0
    assert inside <= 0
    assert high < 3_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_reads_on_its_ground(page, theme):
    made = shown(other=[10, 11, 12, 99, 14, 15])
    mount(page, made, theme=theme)
    for colour in made.colours:
        page.locator(".wb-by select").select_option(colour)
        assert page.evaluate("state.colour") == colour
        least, who = page.evaluate(LEAST_CONTRAST)
        assert least >= 4.5, f"{colour}: {least:.2f} {who}"


def test_a_narrow_page_keeps_its_place_and_its_width(page):
    tokens, scores = many(5_000)
    mount(page, strip(tokens, scores))
    page.evaluate("window.put('selection', [2500, 2501])")
    page.evaluate("document.querySelector('.wb-strip').scrollTop += 100")
    page.wait_for_timeout(60)
    page.set_viewport_size({"width": 380, "height": 700})
    page.wait_for_timeout(120)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    assert in_sight(page, 2_500) or page.evaluate("[...document.querySelectorAll('.wb-t')].some((e) => e.i === 2500)")


def test_python_can_set_everything_while_the_cell_is_out_of_the_page(page):
    tokens, scores = many(2_000)
    mount(page, strip(tokens, scores))
    page.evaluate("window.gone = document.querySelector('.wb'); window.home = gone.parentElement; gone.remove()")
    for name, value in (("selection", [1500, 1502]), ("query", "return"), ("colour", "rank")):
        page.evaluate("([name, value]) => window.put(name, value)", [name, value])
    page.evaluate("window.home.append(window.gone)")
    page.wait_for_timeout(120)
    assert page.locator(".wb-by select").input_value() == "rank"
    assert "tokens 1,500–1,501" in page.locator(".wb-range").inner_text()
    page.evaluate("window.put('selection', [1500, 1501])")
    assert in_sight(page, 1_500)


def test_an_unmounted_strip_hears_nothing(page):
    mount(page, shown())
    page.evaluate("window.unmount()")
    assert page.evaluate("Object.values(window.heard).flat().length") == 0


def test_no_tokens_at_all(page):
    mount(page, strip(tokens_of([])))
    strip_box(page).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert "no tokens" in strip_box(page).inner_text()
