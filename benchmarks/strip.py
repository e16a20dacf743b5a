"""The token strip on 50,000 tokens: time to the first paint, frames while scrolling, a selection to Python and back.

Paint and frames are measured in a bare page, where nothing else draws: from the call that hands over the data to the
second frame behind it, and between frames while the strip scrolls by 140 pixels a frame. As a yardstick the same page
puts one element for every token into the document at once and scrolls it. The way to Python and back is measured in
a real JupyterLab: a click, the change in the kernel (both processes read the machine's clock), an answer that is
seen in the page. As a yardstick a widget that does nothing else answers a click in the same notebook.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser import walk  # noqa: E402 (the checkout's root is no installed package)
from tests.browser.chromium import chromium, local_page  # noqa: E402
from tests.browser.lab import open_notebook, private_lab, run_all  # noqa: E402
from tests.widgets.mount_strip import many, packed, wait_for_tokens  # noqa: E402
from workbench.widgets.strip import strip  # noqa: E402

TOKENS = 50_000
ROUNDS, FRAMES, CLICKS = 7, 200, 40
PAINT_MS, FRAME_MS, TRIP_MS = 500.0, 50.0, 100.0

PAINT = """async ([message, buffers]) => {
  const arrays = window.unpack(buffers);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const began = performance.now();
  window.arrive(message, arrays);
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
# One element a token, with the same text and the same box; no colours, no marks.
ALL_AT_ONCE = """async (pieces) => {
  const box = document.createElement('div');
  box.className = 'wb-strip all';
  Object.assign(box.style, { height: '360px', overflow: 'auto', whiteSpace: 'pre-wrap' });
  const root = document.createElement('div');
  root.className = 'wb wb-token-strip';
  root.append(box);
  document.body.replaceChildren(root);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const began = performance.now();
  for (const piece of pieces) {
    const el = document.createElement('span');
    el.className = 'wb-t';
    el.textContent = piece;
    box.append(el);
  }
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
SCROLL = """async (frames) => {
  const box = document.querySelector('.wb-strip');
  const times = [];
  let last = await new Promise(requestAnimationFrame);
  for (let k = 0; k < frames; k++) {
    box.scrollTop += 140;
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return [times, box.scrollTop >= Math.min(126 * frames, box.scrollHeight - box.clientHeight - 1)];
}"""
PREPARE = f"""
import numpy as np, time, json, anywidget, traitlets
from workbench import Tokens, Scores, strip
n = {TOKENS}
rng = np.random.default_rng(0)
words = (b"def", b" token", b"(", b"x", b")", b":\\n", b"    ", b"return")
ids = rng.integers(0, len(words), n)
places = np.full((n, 2), -1)
lp = np.log(rng.random(n)); one = np.ones((n, 1))
scores = Scores(lp, one[:, 0], lp, lp, lp, one, one)
shown = strip(Tokens(ids, tuple(words[i] for i in ids), ("normal",) * n, places, places), scores)
arrived = []
def answer(change):
    arrived.append(time.time() * 1000)
    shown.colour = "rank" if shown.colour == "probability" else "probability"
shown.observe(answer, "selection")
shown
"""
BARE = """
class Bare(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model, el }) {
      const out = document.createElement("b");
      out.className = "bare";
      out.onclick = () => { model.set("here", model.get("here") + 1); model.save_changes(); };
      model.on("change:there", () => { out.textContent = model.get("there"); });
      out.textContent = "0";
      el.append(out);
    } };
    '''
    here = traitlets.Int(0).tag(sync=True)
    there = traitlets.Int(0).tag(sync=True)
bare = Bare()
bare.observe(lambda change: setattr(bare, "there", change["new"]), "here")
bare
"""
KEEP = """open("facts.json", "w").write(json.dumps(arrived))"""
RUN = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  await kernel.requestExecute({ code }).done;
}"""
# A click; resolves with the clock's time before it and the time until the answer is in the page.
CLICK = """([click, watch, k]) => new Promise((resolve) => {
  const all = document.querySelectorAll(click);
  const el = all[(7 * k) % all.length];
  const seen = new MutationObserver(() => { seen.disconnect(); resolve([clock, performance.now() - began]); });
  seen.observe(document.querySelector(watch), { childList: true, characterData: true, subtree: true });
  const clock = Date.now();
  const began = performance.now();
  el.click();
})"""


def main() -> int:
    with chromium() as browser:
        with local_page(browser, viewport={"width": 1100, "height": 700}) as page:
            paint, frames, work = drawn(page, strip(*many(TOKENS)))
            all_paint, all_frames, all_work = all_at_once(page)
        with local_page(browser) as page:
            to_python, back, bare = trips(page)
    print(row(f"{TOKENS:,} tokens, data to first paint", paint, PAINT_MS))
    print(row("the same, one element a token at once", all_paint, None))
    print(row("a frame while scrolling", frames, FRAME_MS))
    print(row("the same, one element a token at once", all_frames, None))
    print(f"| the page's processor time for such a frame | {work:.1f} ms | – |")
    print(f"| the same, one element a token at once | {all_work:.1f} ms | – |")
    print(row("a click's selection to Python", to_python, TRIP_MS))
    print(row("the same and Python's answer on screen", back, None))
    print(row("a click and the answer of a widget that does nothing else", bare, None))
    missed = [median(times) >= aim for times, aim in ((paint, PAINT_MS), (frames, FRAME_MS), (to_python, TRIP_MS))]
    return int(any(missed))


def drawn(page, shown) -> tuple[list[float], list[float], float]:
    """Milliseconds to the first paint by round, of each frame while scrolling, and of work in such a frame."""
    message, buffers = packed(shown)
    paint = []
    for _ in range(ROUNDS):
        wait_for_tokens(page, shown)
        paint.append(float(page.evaluate(PAINT, [message, buffers])))
    return paint, *scrolled(page)


def all_at_once(page) -> tuple[list[float], list[float], float]:
    """The same of a page with one element for every token."""
    pieces = [piece.decode("utf-8", "replace") for piece in many(TOKENS)[0].pieces]
    paint = [float(page.evaluate(ALL_AT_ONCE, pieces)) for _ in range(3)]
    return paint, *scrolled(page)


def scrolled(page) -> tuple[list[float], float]:
    """Milliseconds of each frame, and of the main thread's own work in one."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = task_s(session)
    times, moved = page.evaluate(SCROLL, FRAMES)
    work = (task_s(session) - before) * 1000 / FRAMES
    assert moved  # nine tenths of the way, or to the end
    return list(times), work


def task_s(session) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def trips(page) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds from a click to Python, to Python and back, and those of the bare widget."""
    with tempfile.TemporaryDirectory() as folder, private_lab(Path(folder)) as lab:
        open_notebook(page, lab, walk.write_notebook(Path(folder), "trips.ipynb", PREPARE, BARE))
        errors = run_all(page)
        assert errors == [], errors
        page.locator(".wb-token-strip[data-ready] .wb-t").first.wait_for()
        page.locator(".bare").wait_for()
        clicks = [clicked(page, ".wb-t", ".wb-token-strip .wb-legend", k) for k in range(CLICKS)]
        bare = [clicked(page, ".bare", ".bare", k)[1] for k in range(CLICKS)]
        page.evaluate(RUN, KEEP)
        arrived = json.loads((Path(folder) / "facts.json").read_text())
    to_python = [there - clock for there, (clock, _) in zip(arrived, clicks, strict=True)]
    return to_python[3:], [back for _, back in clicks[3:]], bare[3:]


def clicked(page, click: str, watch: str, k: int) -> tuple[float, float]:
    """One click and its answer; then a pause, as a person makes one."""
    clock, taken = page.evaluate(CLICK, [click, watch, k])
    page.wait_for_timeout(100)
    return float(clock), float(taken)


def row(what: str, times: list[float], aim: float | None) -> str:
    worst = statistics.quantiles(times, n=20)[-1] if len(times) >= 20 else max(times)
    wanted = f"median under {aim:.0f} ms" if aim else "–"
    name = "p95" if len(times) >= 20 else "worst"
    return f"| {what} | median {median(times):.0f} ms, {name} {worst:.0f} ms | {wanted} |"


def median(times: list[float]) -> float:
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
