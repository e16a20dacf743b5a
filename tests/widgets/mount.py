"""The explorer's script in a bare page with a model that only remembers: no Jupyter, no kernel."""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import Page

from workbench.widgets.choices import Choices
from workbench.widgets.facts import controls
from workbench.widgets.panes import script, styles
from workbench.widgets.payload import of_stage
from workbench.widgets.sources import Sources

MOUNT = """async ([source, css]) => {
  const heard = [];
  window.sent = [];
  window.model = {
    get: () => undefined, set: () => {}, save_changes: () => {},
    on: (name, f) => heard.push([name, f]), off: (name, f) => heard.splice(heard.findIndex(([, g]) => g === f), 1),
    send: (message) => window.sent.push(message),
  };
  window.tell = (message, buffers) => heard.filter(([name]) => name === 'msg:custom').forEach(([, f]) => f(message,
    (buffers ?? []).map((text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer))));
  const style = document.createElement('style');
  style.textContent = css;
  document.head.append(style);
  const module = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  const el = document.createElement('div');
  document.body.replaceChildren(el);
  window.unmount = module.default.render({ model: window.model, el });
}"""
DARK = """
body {
  background: #111; --jp-layout-color1: #1b1e23; --jp-layout-color2: #24282f; --jp-border-color2: #3b424d;
  --jp-ui-font-color1: #e6e9ee; --jp-ui-font-color2: #a2acb9;
}
"""


def mount(page: Page, *, theme: str = "light", extra: str = "") -> None:
    """An empty explorer in a bare page; `extra` is more JavaScript for its module."""
    page.set_content(f"<!doctype html><body data-jp-theme-light='{str(theme == 'light').lower()}'></body>")
    page.evaluate(MOUNT, [script() + extra, styles() + (DARK if theme == "dark" else "")])


def tell(page: Page, kind: str, buffers: list[bytes] | None = None, **facts: Any) -> None:
    """What Python would send."""
    packed = [base64.b64encode(part).decode() for part in buffers or []]
    page.evaluate("([message, buffers]) => window.tell(message, buffers)", [{"type": kind, **facts}, packed])


def show(page: Page, stages: dict[str, Any], *, stamp: int = 1, choices: Choices | None = None) -> None:
    """A whole run: controls, every stage, the end."""
    tell(page, "controls", **controls(choices or Choices(), Sources(requests={"hello": "{}"}), {}))
    tell(page, "begin", stamp=stamp)
    for name, value in stages.items():
        sent = of_stage(name, value)
        arrays = [list(pair) for pair in sent.arrays]
        tell(page, "stage", sent.buffers, stamp=stamp, name=name, facts=sent.facts, arrays=arrays)
    tell(page, "end", stamp=stamp, elapsed=[["rendered", "3.1 ms"], ["tokens", "1.2 ms"]], trouble="")
    page.wait_for_timeout(60)  # two frames: what is near the visible part is drawn in them


def messages_sent(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the page sent to Python, of one kind."""
    return [message for message in page.evaluate("window.sent") if message["type"] == kind]
