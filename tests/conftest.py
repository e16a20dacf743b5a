"""What tests of every room share: the demo model and the browser."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import profiles

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["tests.ledger", "tests.workers"]
profiles.load()

# A run started in the background has interrupts ignored; tests send some, and so does a notebook's user.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The demo model's path; a machine without it fails, so that nothing is skipped unseen."""
    from workbench.data import demo_model
    from workbench.errors import WorkbenchError

    try:
        return demo_model()
    except WorkbenchError as error:
        pytest.fail(f"{error}", pytrace=False)


@pytest.fixture(scope="session")
def examined(demo_model: Path) -> subprocess.CompletedProcess[str]:
    """`workbench doctor --json` on this machine as it is: one whole run for all tests."""
    from tests.doctor.conftest import surroundings

    command = [sys.executable, "-m", "workbench", "doctor", "--json"]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=surroundings())


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for the whole run; playwright does not start a second one beside it."""
    from tests.browser.chromium import chromium

    with chromium() as running:
        yield running
