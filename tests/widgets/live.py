"""A live view's script in a bare page, joined to the real widget in Python: only Jupyter between them is left out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from tests.widgets.mount import DARK
from tests.widgets.mount_strip import MOUNT

WAIT_MS = 20


class Live:
    """Carries messages and synced traits between a widget and its page, both ways, whenever it is asked to."""

    def __init__(self, page: Page, widget: Any, *, traits: tuple[str, ...] = (), theme: str = "light") -> None:
        self.page, self.widget, self.traits = page, widget, traits
        self.outbox: list[tuple[dict[str, Any], list[bytes]]] = []
        widget.send = lambda content, buffers=None: self.outbox.append((content, buffers or []))
        self.state = self._here()
        page.set_content(f"<!doctype html><body data-jp-theme-light='{str(theme == 'light').lower()}'></body>")
        css = widget._css + (DARK if theme == "dark" else "")
        page.evaluate(MOUNT, [widget._esm, css, self.state])
        self.pump()

    def _here(self) -> dict[str, Any]:
        return {name: getattr(self.widget, name) for name in self.traits}

    def pump(self) -> None:
        """Deliver what waits on either side, until nothing does."""
        for _ in range(50):
            told = self.page.evaluate("() => [state, window.sent.splice(0)]")
            changed = {name: told[0][name] for name in self.traits if told[0][name] != self.state[name]}
            self.state |= changed
            for name, value in changed.items():
                setattr(self.widget, name, value)
            for message in told[1]:
                self.widget._handle_custom_msg(message, [])
            mine = {name: value for name, value in self._here().items() if value != self.state[name]}
            self.state |= mine
            for name, value in mine.items():
                self.page.evaluate("([name, value]) => window.put(name, value)", [name, value])
            outbox, self.outbox[:] = self.outbox[:], []
            for content, buffers in outbox:
                packed = [base64.b64encode(part).decode() for part in buffers]
                self.page.evaluate("([m, b]) => window.arrive(m, window.unpack(b))", [content, packed])
            if not (changed or told[1] or mine or outbox):
                return
            self.page.wait_for_timeout(WAIT_MS)

    def until(self, holds: Callable[[], bool], tries: int = 200) -> None:
        """Pump until something holds; what never comes true fails."""
        for _ in range(tries):
            self.pump()
            if holds():
                return
            self.page.wait_for_timeout(WAIT_MS)
        raise AssertionError("it never came true")
