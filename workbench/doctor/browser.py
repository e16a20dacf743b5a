"""A browser for the browser tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from workbench.doctor.check import Check, home, passed, warned
from workbench.doctor.look import Look

NAME = "browser"
VARIABLE = "WORKBENCH_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FIX = "apt-get install chromium, or: export WORKBENCH_CHROMIUM=/path/to/chromium"


def check(_look: Look) -> Iterator[Check]:
    """A Chromium that the tests find, or not: nothing else needs it."""
    named = os.environ.get(VARIABLE)
    found = next((path for name in ((named,) if named else (*NAMES, MAC)) if (path := shutil.which(name))), None)
    if found is None:
        told = f"${VARIABLE} is {named}, and no program is there" if named else "none is found"
        yield warned(NAME, f"{told}; only the browser tests need one", FIX)
    else:
        yield passed(NAME, home(Path(found)))
