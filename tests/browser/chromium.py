"""A headless Chromium for tests: found or named, and kept from talking to anybody but this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",  # the tests may run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:", "http://localhost", "ws://localhost")


def executable() -> str | None:
    """$WORKBENCH_CHROMIUM, else the first on the path, else None: playwright takes its own."""
    named = os.environ.get("WORKBENCH_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), headless=True, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def local_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page; at the end it is an error if it asked for anything outside this machine, or ran a hostile script."""
    options = {"viewport": {"width": 1500, "height": 1300}, "device_scale_factor": 1, **options}
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    outside: list[str] = []
    alerts: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(LOCAL) else outside.append(request.url))
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    try:
        yield page
    finally:
        context.close()
    assert not outside, f"the page asked for something outside this machine: {outside}"
    assert not alerts, f"the page ran a script that it was only to show: {alerts}"
    assert not alerts, f"something in the page ran: {alerts}"


def artifacts() -> Path:
    """Where screenshots go: $WORKBENCH_ARTIFACTS, else artifacts/ in the checkout."""
    folder = Path(os.environ.get("WORKBENCH_ARTIFACTS") or Path(__file__).parents[2] / "artifacts") / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
