"""The explorer's page in a browser, with a model that only remembers: no Jupyter, no kernel."""

from __future__ import annotations

import pytest

from tests.browser.chromium import local_page
from tests.widgets import examples
from tests.widgets.mount import messages_sent, mount, show, tell
from workbench.views.html import visible, visible_bytes
from workbench.widgets.choices import Choices
from workbench.widgets.payload import of_stage

pytestmark = pytest.mark.browser
LONE_BYTES = [
    b"",
    b"ab",
    b"\xf0\x9f",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\xe2\x82A",
    b"\xf0\x9f\x91\x8d",
    b"\xc0",
]
# WCAG's contrast of each text with the ground behind it; the smallest, and whose it is.
LEAST_CONTRAST = """() => {
  const linear = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (el) => {
    for (let e = el; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)') return c;
    }
    return 'rgb(255, 255, 255)';
  };
  let [least, who] = [99, ''];
  const texts = '.wb-t, .wb-s, .wb-key, .wb-remark, .wb-label, .wb-fact, .wb h4, .wb-button, .wb-role';
  for (const el of document.querySelectorAll(texts)) {
    if (!el.offsetParent) continue;
    const [high, low] = [light(getComputedStyle(el).color), light(ground(el))].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < least) [least, who] = [contrast, el.className + ' ' + el.textContent];
  }
  return [least, who];
}"""


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1150, "height": 900}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        mount(made)
        yield made
        assert faults == []


@pytest.fixture
def shown(page):
    show(page, examples.stages("Where is <Paris>?", "In France, of course."))
    return page


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def lit(page, stage):
    """What is marked in a stage."""
    return "".join(page.locator(f".wb-pane-{stage} .wb-on").all_inner_texts())


def test_every_stage_is_drawn(shown):
    assert texts(shown, ".wb-pane h4 > span:first-child") == [
        "Messages",
        "Rendered",
        "Tokens",
        "Scores",
        "Answer",
        "Parsed",
    ]
    assert "Where is <Paris>?" in shown.locator(".wb-pane-messages").inner_text()
    assert "Where is <Paris>?" in shown.locator(".wb-pane-rendered").inner_text()
    assert texts(shown, ".wb-pane-tokens .wb-t")[:3] == ["<s>", "<|im_start|>", "user"]
    assert "In France, of course." in shown.locator(".wb-pane-parsed").inner_text()


def test_a_token_marks_the_same_characters_everywhere(shown):
    boxes = shown.locator(".wb-pane-tokens .wb-t")
    place = next(i for i, text in enumerate(boxes.all_inner_texts()) if "ris" in text)
    boxes.nth(place).click()
    token = boxes.nth(place).inner_text().replace("·", " ")
    for stage in ("tokens", "scores", "rendered", "messages"):
        assert lit(shown, stage).replace("·", " ") == token, stage
    assert messages_sent(shown, "select")[-1] == {"type": "select", "token": place, "step": None}
    assert "messages[0].content" in shown.locator(".wb-inspector").inner_text()


def test_a_message_marks_its_text_and_tokens(shown):
    shown.locator(".wb-field").first.click()
    assert lit(shown, "rendered") == "Where is <Paris>?"
    marked = lit(shown, "tokens").replace("·", " ")
    assert "is <P" in marked
    assert "im_start" not in marked


def test_a_stretch_of_text_marks_its_tokens_and_field(shown):
    shown.locator(".wb-pane-rendered .wb-s", has_text="user").click()
    assert lit(shown, "tokens") == "user"
    shown.locator(".wb-pane-rendered .wb-s", has_text="Where").click()
    assert lit(shown, "messages") == "Where is <Paris>?"


def test_dragging_over_text_selects_exactly_those_characters(shown):
    shown.evaluate("""() => {
      const node = [...document.querySelectorAll('.wb-s')].find((e) => e.textContent.includes('Paris')).firstChild;
      const range = document.createRange();
      range.setStart(node, 10); range.setEnd(node, 15);
      getSelection().removeAllRanges(); getSelection().addRange(range);
      node.parentElement.dispatchEvent(new MouseEvent('mouseup', { bubbles: true }));
    }""")
    assert lit(shown, "rendered") == "Paris"
    assert lit(shown, "messages") == "Paris"


def test_an_answer_token_marks_the_parsed_part_and_back(shown):
    shown.locator(".wb-pane-generation .wb-t").nth(1).click()
    assert "content" in lit(shown, "parsed")
    assert messages_sent(shown, "select")[-1]["step"] == 1
    assert lit(shown, "tokens") == ""
    shown.locator(".wb-part-call").click()
    assert shown.locator(".wb-pane-generation .wb-on").count() == 1


def test_arrows_move_along_the_tokens_and_the_page_around_does_not_hear_them(shown):
    shown.evaluate("window.heard = []; document.addEventListener('keydown', (e) => window.heard.push(e.key))")
    strip = shown.locator(".wb-pane-tokens .wb-strip")
    shown.locator(".wb-pane-tokens .wb-t").nth(2).click()
    strip.press("ArrowRight")
    assert messages_sent(shown, "select")[-1]["token"] == 3
    strip.press("ArrowLeft")
    strip.press("ArrowLeft")
    assert messages_sent(shown, "select")[-1]["token"] == 1
    strip.press("End")
    last = shown.locator(".wb-pane-tokens .wb-t").count() - 1
    assert messages_sent(shown, "select")[-1]["token"] == last
    strip.press("ArrowRight")
    assert messages_sent(shown, "select")[-1]["token"] == last
    strip.press("Home")
    assert messages_sent(shown, "select")[-1]["token"] == 0
    strip.press("ArrowDown")
    assert messages_sent(shown, "select")[-1]["token"] > 0
    assert shown.evaluate("window.heard") == []


def test_focus_can_be_seen(shown):
    strip = shown.locator(".wb-pane-tokens .wb-strip")
    strip.focus()
    strip.press("ArrowRight")
    assert strip.evaluate("(e) => getComputedStyle(e).outlineStyle") == "solid"


def test_hostile_text_is_only_text(page):
    show(page, examples.stages(examples.HOSTILE, examples.HOSTILE))
    assert page.locator(".wb img, .wb script").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.locator(".wb-pane-rendered").inner_text()
    assert "⟨U+202E⟩" in page.locator(".wb-pane-tokens").inner_text()
    page.locator(".wb-pane-tokens .wb-t").nth(6).click()
    tell(page, "trouble", text=examples.HOSTILE)
    tell(page, "log", lines=[examples.HOSTILE])
    assert page.locator(".wb img, .wb script").count() == 0


@pytest.mark.parametrize(
    "text", ["a b", "\n\t\r\x00\x07\x7f\x85", "\u202e\u2066\u200b\ufeff\u2028\xa0\xad", "👩\u200d🚀é́", "\ud800\udfff x"]
)
def test_page_and_static_copy_show_characters_the_same_way(page, text):
    points = [ord(c) for c in text]
    page.evaluate("() => { delete window.visible; }")
    mount(page, extra="\nwindow.visible = visible; window.visibleBytes = visibleBytes;")
    got = page.evaluate("(points) => window.visible(Uint32Array.from(points), 0, points.length, true)", points)
    assert got == visible(text, spaces=True)


@pytest.mark.parametrize("piece", LONE_BYTES)
def test_page_and_static_copy_show_bytes_the_same_way(page, piece):
    mount(page, extra="\nwindow.visibleBytes = visibleBytes;")
    assert page.evaluate("(bytes) => window.visibleBytes(Uint8Array.from(bytes))", list(piece)) == visible_bytes(piece)


def test_fifty_thousand_tokens_are_drawn_piece_by_piece(page):
    n = 50_000
    tokens = examples.token_values([b" word"] * n, ["normal"] * n, [(i * 5, i * 5 + 5) for i in range(n)])
    show(page, {"tokens": tokens, "scores": examples.scored(n)})
    assert page.locator(".wb-t").count() < 6_000
    strip = page.locator(".wb-pane-tokens .wb-strip")
    strip.focus()
    strip.press("End")
    page.wait_for_timeout(100)
    assert messages_sent(page, "select")[-1]["token"] == n - 1
    assert page.locator(f".wb-pane-tokens [data-i='{n - 1}']").is_visible()
    assert page.locator(".wb-t").count() < 8_000


TYPED_AT_ONCE = """(box, text) => { for (const one of text) {
  box.value += one;
  box.dispatchEvent(new InputEvent("input", { bubbles: true }));
} }"""


def test_an_edit_goes_out_at_once_and_those_that_follow_fast_as_one(shown):
    tell(shown, "controls", options={}, placeholders={}, errors={}, values={"request_text": "{}", "template_text": "x"})
    shown.locator("[data-edit=template_text]").click()
    shown.get_by_label("Chat template").evaluate(TYPED_AT_ONCE, "abc")
    shown.wait_for_timeout(100)
    assert [sent["changes"]["template_text"] for sent in messages_sent(shown, "change")] == ["xa", "xabc"]


@pytest.mark.parametrize("then", ["tokens", "end"])
def test_a_stage_that_another_follows_at_once_is_drawn_with_it(shown, then):
    stages = examples.stages("Another?", "Yes.")
    rendered = of_stage("rendered", stages["rendered"])
    told = {"facts": rendered.facts, "arrays": [list(pair) for pair in rendered.arrays]}
    tell(shown, "begin", stamp=7)
    tell(shown, "stage", rendered.buffers, stamp=7, name="rendered", soon=True, **told)
    assert "Another?" not in shown.locator(".wb-pane-rendered").inner_text()
    if then == "tokens":
        tell(shown, "stage", stamp=7, name="tokens", empty=True)
    else:
        tell(shown, "end", stamp=7, elapsed=[], trouble="")
    assert "Another?" in shown.locator(".wb-pane-rendered").inner_text()


def test_what_is_being_typed_is_never_overwritten(shown):
    shown.locator("[data-edit=request_text]").click()
    field = shown.get_by_label("Request as JSON")
    field.fill('{"messages": [')
    errors = {"request": "the request is not JSON: Expecting value at line 1 column 15"}
    values = {"request_text": "{}"}
    tell(shown, "controls", options={}, placeholders={}, errors=errors, values=values)
    assert field.input_value() == '{"messages": ['
    assert "line 1 column 15" in shown.locator("[data-error=request]").inner_text()


def test_an_answer_to_an_older_edit_undoes_no_newer_one(shown):
    shown.locator("[data-edit=template_text]").click()
    field = shown.get_by_label("Chat template")
    field.fill("newer")
    field.blur()
    shown.wait_for_timeout(100)
    page, number = messages_sent(shown, "change")[-1]["edit"]
    tell(
        shown,
        "controls",
        options={},
        placeholders={},
        errors={},
        values={"template_text": "older"},
        heard={page: number - 1},
    )
    assert field.input_value() == "newer"
    tell(
        shown,
        "controls",
        options={},
        placeholders={},
        errors={},
        values={"template_text": "Python's"},
        heard={page: number},
    )
    assert field.input_value() == "Python's"


def test_controls_send_what_was_chosen(shown):
    shown.get_by_label("special tokens in the text count").click()
    shown.get_by_label("add BOS and EOS").select_option("add")
    shown.get_by_label("temperature").fill("0.7")
    shown.wait_for_timeout(100)
    changes = {k: v for m in messages_sent(shown, "change") for k, v in m["changes"].items()}
    assert changes == {"parse_special": False, "add_special": "add", "temperature": "0.7"}


def test_progress_shows_after_a_moment_and_can_be_cancelled(shown):
    at_once = "window.tell({type: 'begin', stamp: 2}, []), document.querySelector('.wb-cancel').checkVisibility()"
    assert shown.evaluate(at_once) is False  # asked in the same breath: a slow page may take longer than the moment
    tell(shown, "progress", stamp=2, operation="scoring", done=512, total=2048)
    shown.locator(".wb-cancel").wait_for(state="visible")
    assert "scoring 512 of 2,048" in shown.locator(".wb-busy").inner_text()
    shown.locator(".wb-cancel").click()
    assert messages_sent(shown, "cancel")
    shown.locator(".wb-pane-tokens .wb-t").nth(2).click()
    assert messages_sent(shown, "select")[-1]["token"] == 2
    tell(shown, "end", stamp=2, elapsed=[], trouble="cancelled")
    assert not shown.locator(".wb-cancel").is_visible()
    assert shown.locator(".wb-trouble").inner_text() == "cancelled"


def test_an_older_run_does_not_overwrite_a_newer_one(shown):
    tell(shown, "begin", stamp=5)
    old = examples.stages("old text")
    before = shown.locator(".wb-pane-rendered").inner_text()
    sent = of_stage("rendered", old["rendered"])
    arrays = [list(pair) for pair in sent.arrays]
    tell(shown, "stage", sent.buffers, stamp=4, name="rendered", facts=sent.facts, arrays=arrays)
    assert shown.locator(".wb-pane-rendered").inner_text() == before


def test_steps_show_one_stage_at_a_time(shown):
    shown.get_by_role("button", name="Show as steps").click()
    assert shown.locator(".wb-pane:visible").count() == 1
    shown.get_by_role("tab", name="Tokens").click()
    assert shown.locator(".wb-pane-tokens .wb-t").first.is_visible()
    shown.get_by_role("tab", name="Tokens").press("ArrowRight")
    assert shown.locator(".wb-pane-scores").is_visible()


def test_it_follows_the_theme(page):
    assert messages_sent(page, "theme")[-1]["theme"] == "light"
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_timeout(50)
    assert messages_sent(page, "theme")[-1]["theme"] == "dark"
    assert page.locator(".wb").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(page, theme):
    mount(page, theme=theme)
    show(page, examples.stages("Where is <Paris>?", "In France."))
    page.locator(".wb-pane-tokens .wb-t").nth(3).click()
    weakest = page.evaluate(LEAST_CONTRAST)
    assert weakest[0] >= 4.5, weakest


def test_every_control_has_a_name(shown):
    shown.locator("[data-edit=template_text]").click()
    nameless = shown.evaluate("""() => [...document.querySelectorAll('.wb select, .wb input, .wb textarea, .wb button')]
      .filter((e) => ![e.ariaLabel, e.textContent, e.closest('label')?.textContent].some((words) => words?.trim()))
      .map((e) => e.outerHTML)""")
    assert nameless == []


def test_no_request_yet_says_so(page):
    assert "no tokens" in page.locator(".wb-pane-tokens").inner_text()
    show(page, {}, choices=Choices())
    assert "no answer" in page.locator(".wb-pane-generation").inner_text()


def test_leaving_the_page_lets_go_of_everything(shown):
    shown.evaluate("window.unmount()")
    tell(shown, "begin", stamp=9)
    assert shown.locator(".wb").get_attribute("data-busy") == "false"
