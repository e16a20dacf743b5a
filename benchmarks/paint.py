"""Time from a template edit to the new tokens on screen, for a conversation of 8,000 tokens, without the model.

Measured in a real JupyterLab in headless Chromium: the template's editor gets another text, and the clock
runs until the second frame after the tokens were drawn. In the kernel the clock runs from the page's
message to the tokens' message back: rendering, origins, tokenising, alignment, payload. As a yardstick the
same kernel renders the same template with plain jinja2 and tokenises the text, nothing else, in the same run.
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
from tests.browser.lab import private_lab  # noqa: E402

ROUNDS = 40
LEAST_TOKENS = 8_000
KERNEL_MS, PAINT_MS = 100.0, 250.0
WORDS = "The {i}th question: how does a tokenizer split words, numbers like {i} and punctuation? Explain it in short. "

PREPARE = f"""
import json, time
import jinja2
from workbench import explore
say = {WORDS!r}
roles = ("user", "assistant")
messages = [{{"role": roles[i % 2], "content": say.format(i=i) * 3}} for i in range(93)]
explorer = explore(request=messages).change(until="tokens")
explorer
"""
CLOCKS = """
shown = await explorer
assert len(explorer.trace.tokens) >= 8000, len(explorer.trace.tokens)
kernel_ms, began = [], [0.0]
def start(_widget, message, _buffers):
    if message["type"] == "change":
        began[0] = time.perf_counter()
explorer.panes._msg_callbacks.callbacks.insert(0, start)
tell = explorer.panes.tell
def stop(kind, *args, **facts):
    tell(kind, *args, **facts)
    if kind == "stage" and facts.get("name") == "tokens":
        kernel_ms.append((time.perf_counter() - began[0]) * 1000)
explorer.panes.tell = stop
"""
YARDSTICK = """
def plain():
    began = time.perf_counter()
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(explorer.choices.template_text).render(messages=messages, add_generation_prompt=True)
    explorer._host.tokenize(text)
    return (time.perf_counter() - began) * 1000
facts = {"tokens": len(explorer.trace.tokens), "kernel": kernel_ms, "plain": [plain() for _ in range(20)]}
open("facts.json", "w").write(json.dumps(facts))
"""
# One edit: another text in the editor, then the time until the second frame behind the tokens' drawing.
EDIT = """(n) => new Promise((resolve) => {
  const root = document.querySelector('.wb');
  const editor = root.querySelector('textarea[data-name=template_text]');
  const drawn = new MutationObserver(() => {
    drawn.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
  });
  drawn.observe(root, { attributes: true, attributeFilter: ['data-tokens'] });
  window.template ??= editor.value;
  editor.focus();
  editor.value = 'Edit ' + n + '. ' + window.template;
  const began = performance.now();
  editor.dispatchEvent(new Event('input', { bubbles: true }));
})"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, private_lab(Path(folder)) as lab, chromium() as browser:
        name = walk.write_notebook(Path(folder), "paint.ipynb", PREPARE, CLOCKS)
        with local_page(browser) as page:
            walk.open_explorer(page, lab, name)
            page.locator("[data-edit=template_text]").click()
            page.evaluate("() => document.querySelector('.wb').scrollIntoView()")
            paint = [edit(page, n) for n in range(ROUNDS + 5)][5:]
            run_cell(page, YARDSTICK)
            page.wait_for_function(
                "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
            )
            page.wait_for_timeout(500)
        facts = json.loads((Path(folder) / "facts.json").read_text())
    return report(paint, facts["kernel"][5:], facts["plain"], facts["tokens"])


def edit(page, n: int) -> float:
    """Milliseconds of one edit; then a pause, as a person makes one."""
    taken = float(page.evaluate(EDIT, n))
    page.wait_for_timeout(120)
    return taken


def run_cell(page, code: str) -> None:
    """Run code in the notebook's kernel and wait for its end."""
    page.evaluate(
        """async (code) => {
          const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
          const reply = await kernel.requestExecute({ code }).done;
          if (reply.content.status !== 'ok') throw new Error(reply.content.evalue);
        }""",
        code,
    )


def report(paint: list[float], kernel: list[float], plain: list[float], tokens: int) -> int:
    yardstick = statistics.median(plain)
    in_kernel, on_screen = p95(kernel), p95(paint)
    print(f"| template edit, {tokens:,} tokens, in the kernel | p95 {in_kernel:.0f} ms | under {KERNEL_MS:.0f} ms |")
    print(f"| the same, on screen | p95 {on_screen:.0f} ms | under {PAINT_MS:.0f} ms |")
    print(f"| plain jinja2 and tokenising alone | median {yardstick:.0f} ms | – |")
    print(f"| kernel's median over that | {statistics.median(kernel) / yardstick:.2f} times | – |")
    print(f"medians: kernel {statistics.median(kernel):.0f} ms, on screen {statistics.median(paint):.0f} ms")
    return int(in_kernel >= KERNEL_MS or on_screen >= PAINT_MS or tokens < LEAST_TOKENS)


def p95(times: list[float]) -> float:
    """The time that 95 of 100 stay under."""
    return statistics.quantiles(times, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())
