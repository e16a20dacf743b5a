"""The runtime lab's page in a browser, fed with what Python would send: no Jupyter, no kernel, no model."""

from __future__ import annotations

import pytest

from tests.browser.chromium import local_page
from tests.widgets.mount import messages_sent
from tests.widgets.mount_runtime import mount, play
from tests.widgets.test_page import LEAST_CONTRAST
from workbench import data
from workbench.setup import Setup
from workbench.widgets.knobs import KNOBS, Knobs
from workbench.widgets.runtime_facts import groups, side_facts

pytestmark = pytest.mark.browser
MODELS = [["/m/one.gguf", "one.gguf"], ["", "another file…"]]
HOSTILE = "<img src=x onerror=window.hacked=1></script>👩‍🚀\u202e"


@pytest.fixture
def page(browser):
    with local_page(browser, viewport={"width": 1000, "height": 900}) as made:
        faults = []
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made
        assert faults == []
        assert made.evaluate("window.hacked") is None


def message(b=None, *, errors=None, foreseen=None, request_error=""):
    """What Python sends when side b has these changes."""
    base = Setup(model=str(data.toolsmith()))
    sides = {
        "a": side_facts(Knobs(base), {}, None, None, ["CPU"]),
        "b": side_facts(Knobs(base).changed(b or {}), errors or {}, None, None, ["CPU"]) | (foreseen or {}),
    }
    request = {"options": [["hello", "hello"], ["", "your own"]], "name": "hello", "text": "{}", "max_tokens": "8"}
    return {
        "type": "controls",
        "sides": sides,
        "request": request | {"error": request_error},
        "live": True,
        "layers": False,
    }


def opened(page, *more, theme="light"):
    mount(page, theme=theme)
    play(page, [{"type": "knobs", "groups": groups(), "options": MODELS}, message(), *more])


def knob(page, name, side="b"):
    return page.locator(f'[data-knob="{name}"] [data-side="{side}"]')


def test_every_setting_has_a_field_for_each_side_with_a_name_and_its_cost(page):
    opened(page)
    assert [m["type"] for m in page.evaluate("window.sent")[:2]] == ["theme", "hello"]
    page.get_by_text("RoPE and YaRN").click()
    for name, one in KNOBS.items():
        for side in "ab":
            field = knob(page, name, side)
            named = field if field.get_attribute("aria-label") else field.locator("[aria-label]").first
            assert named.get_attribute("aria-label") == f"{one.words}, {side.upper()}"
        assert page.locator(f'[data-knob="{name}"] .wb-knob-cost').inner_text()
    assert page.locator('[data-knob="n_gpu_layers"] .wb-knob-cost').inner_text() == "loading anew"
    assert page.locator('[data-knob="n_gpu_layers"] .wb-knob-name').get_attribute("title") == "runtime.n_gpu_layers"


def test_what_is_changed_goes_to_python_and_jupyterlab_hears_no_key(page):
    opened(page)
    page.evaluate("window.outside = []; document.addEventListener('keydown', (e) => window.outside.push(e.key))")
    knob(page, "type_k").select_option("q8_0")
    knob(page, "rpc").check()
    knob(page, "n_ctx").fill("512")
    knob(page, "n_ctx").press("Enter")
    slider = knob(page, "n_gpu_layers").locator("input")
    assert slider.get_attribute("max") == "6"
    slider.press("ArrowRight")
    slider.press("End")
    assert knob(page, "n_gpu_layers").locator("output").inner_text() == "all 5 and output"
    page.get_by_label("answer, tokens").fill("9")
    page.get_by_label("answer, tokens").press("Enter")
    assert page.evaluate("window.outside") == []
    sent = [m["changes"] for m in messages_sent(page, "change")]
    assert sent == [
        {"type_k": "q8_0"},
        {"rpc": True},
        {"n_ctx": "512"},
        {"n_gpu_layers": "1"},
        {"n_gpu_layers": "6"},
    ]
    assert {m["side"] for m in messages_sent(page, "change")} == {"b"}
    assert messages_sent(page, "ask")[-1]["changes"] == {"max_tokens": "9"}
    for name in ("B as A", "Run", "Freeze for sharing"):
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_label("by layer").check()
    kinds = [m["type"] for m in page.evaluate("window.sent")][-4:]
    assert kinds == ["align", "run", "freeze", "switch"]


def test_an_older_answer_does_not_undo_a_slider_that_has_moved_on(page):
    opened(page)
    slider = knob(page, "n_gpu_layers").locator("input")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    play(page, [message({"n_gpu_layers": "1"})])
    slider.press("ArrowRight")
    assert [m["changes"] for m in messages_sent(page, "change")][-1] == {"n_gpu_layers": "3"}
    play(page, [message({"n_gpu_layers": "2"}), message({"n_gpu_layers": "3"})])
    assert slider.input_value() == "3"
    play(page, [message({"n_gpu_layers": "1"})])
    assert slider.input_value() == "1"
    slider.press("ArrowRight")
    page.get_by_role("button", name="B as A", exact=True).click()
    play(page, [message()])
    assert slider.input_value() == "0"


def test_what_differs_and_what_is_wrong_is_seen(page):
    wrong = {"n_batch": f"no {HOSTILE}"}
    foreseen = {
        "places": ["CPU", "CPU", "RPC0", "RPC0", "RPC1", "RPC1"],
        "where": "Layers: CPU 0-1, RPC0 2-3, RPC1 4; output layer: RPC1.",
        "memory": "CPU 1.0 MiB",
        "refused": HOSTILE,
        "notes": [HOSTILE],
    }
    opened(page, message({"type_k": "q4_0", "n_batch": "x"}, errors=wrong, foreseen=foreseen, request_error=HOSTILE))
    differing = page.locator(".wb-differs").evaluate_all("(rows) => rows.map((row) => row.dataset.knob)")
    assert differing == ["type_k", "n_batch"]
    assert "B: no <img" in page.locator('[data-knob="n_batch"] .wb-knob-wrong').inner_text()
    card = page.locator('[data-card="b"]')
    assert "⟨U+202E⟩" in card.inner_text()
    kinds = card.locator(".wb-place").evaluate_all("(all) => all.map((one) => one.className.slice(-1))")
    assert kinds == ["0", "0", "1", "1", "2", "2"]
    assert card.locator(".wb-places-bar").get_attribute("aria-label") == foreseen["where"]
    assert page.locator(".wb-edit").get_attribute("open") is not None


def test_what_the_user_types_stays_while_python_answers(page):
    opened(page)
    knob(page, "n_ctx").press_sequentially("12")
    play(page, [message()])
    assert knob(page, "n_ctx").input_value() == "12"
    knob(page, "model").locator("select").select_option("")
    knob(page, "model").locator("input").fill("/m/two.gguf")
    play(page, [message()])
    assert knob(page, "model").locator("input").input_value() == "/m/two.gguf"


def test_progress_cancel_trouble_and_log(page):
    opened(page, {"type": "begin", "stamp": 3})
    assert page.locator(".wb-runtime").get_attribute("data-busy") == "true"
    play(page, [{"type": "progress", "stamp": 3, "operation": "scoring", "done": 3, "total": 12}])
    page.get_by_text("scoring 3 of 12").wait_for()
    page.get_by_role("button", name="Cancel").click()
    assert messages_sent(page, "cancel")
    play(page, [{"type": "end", "stamp": 2, "trouble": "old"}, {"type": "end", "stamp": 3, "trouble": f"it {HOSTILE}"}])
    assert page.locator(".wb-busy").is_hidden()
    assert "it <img" in page.locator(".wb-trouble").inner_text()
    page.locator('[data-card="b"]').get_by_role("button", name="log").click()
    assert messages_sent(page, "log") == [{"type": "log", "side": "b"}]
    play(page, [{"type": "log", "side": "b", "lines": [HOSTILE]}])
    assert "<img" in page.locator(".wb-log").inner_text()
    page.locator('[data-card="b"]').get_by_role("button", name="log").click()
    assert page.locator(".wb-log").is_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_can_be_read_in_both_themes_and_on_a_narrow_page(page, theme):
    foreseen = {"places": ["CPU"] * 6, "where": "Layers", "memory": "CPU", "refused": "too large", "notes": ["note"]}
    opened(page, message({"type_k": "q4_0"}, errors={"n_ctx": "no"}, foreseen=foreseen), theme=theme)
    assert page.locator(".wb-runtime").get_attribute("data-theme") == theme
    texts = ".wb-knob-name, .wb-knob-cost, .wb-knob-said, .wb-card-where, .wb-aside, .wb-knob-group summary,"
    least, who = page.evaluate(LEAST_CONTRAST.replace("'.wb-t,", f"'{texts} .wb-t,"))
    assert least >= 4.5, f"{least:.2f} {who}"
    page.set_viewport_size({"width": 420, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
