"""The runtime lab's script in a bare page, fed with what a real lab sent: no Jupyter, no kernel."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.widgets.mount import DARK, MOUNT, tell
from workbench.widgets.runtime import RuntimeLab
from workbench.widgets.runtime_panel import RuntimePanel, script


def mount(page: Page, *, theme: str = "light") -> None:
    """An empty lab in a bare page."""
    page.set_content(f"<!doctype html><body data-jp-theme-light='{str(theme == 'light').lower()}'></body>")
    page.evaluate(MOUNT, [script(), RuntimePanel._css + (DARK if theme == "dark" else "")])


def play(page: Page, messages: list[dict[str, Any]]) -> None:
    """What Python sent, in order."""
    for message in messages:
        facts = {name: value for name, value in message.items() if name != "type"}
        tell(page, message["type"], **facts)


def listen(lab: RuntimeLab) -> list[dict[str, Any]]:
    """What the lab tells its page from now on, a page that has just opened."""
    sent: list[dict[str, Any]] = []
    lab.panel.send = lambda message, _buffers=None: sent.append(message)
    lab._greet()
    return sent
