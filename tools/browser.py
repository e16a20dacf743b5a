"""Prints the path of a browser for the tests: one that is there, else Debian's package, else playwright's download.

Says what it tried, and fails, where none of them gives a browser that starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
PACKAGES = ("chromium", "fonts-noto-cjk", "fonts-noto-color-emoji")


def main() -> int:
    """The path on stdout, everything else on stderr; 2 where there is no browser."""
    tried: list[str] = []
    for source in (already_there, from_debian, from_playwright):
        path = source(tried)
        if path:
            print(path)
            return 0
    print("test: no browser starts, and the browser tests need one:", file=sys.stderr)
    for line in tried:
        print(f"  {line}", file=sys.stderr)
    print("install Chromium or name one: WORKBENCH_CHROMIUM=/path/to/chromium make test", file=sys.stderr)
    return 2


def already_there(tried: list[str]) -> str | None:
    """The one in $WORKBENCH_CHROMIUM, else the first on the path that starts."""
    named = os.environ.get("WORKBENCH_CHROMIUM")
    if named:
        tried.append(f"$WORKBENCH_CHROMIUM is {named!r}: it does not start")
        return named if starts(named) else None
    for name in (*NAMES, MAC):
        path = shutil.which(name)
        if path and starts(path):
            return path
        tried.append(f"{name}: {'does not start' if path else 'not found'}")
    return None


def from_debian(tried: list[str]) -> str | None:
    """Debian's package, where this user may install it without being asked for a password."""
    apt = shutil.which("apt-get")
    if not apt:
        tried.append("Debian's package: no apt-get here")
        return None
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and not runs([*prefix, "true"]):
        tried.append("Debian's package: neither root nor sudo without a password")
        return None
    print("test: installing Debian's chromium", file=sys.stderr)
    quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", apt, "-qq"]
    runs([*quiet, "update"])
    if not runs([*quiet, "install", "--yes", "--no-install-recommends", *PACKAGES]):
        tried.append("Debian's package: apt-get install failed")
        return None
    path = shutil.which("chromium")
    if path and starts(path):
        return path
    tried.append("Debian's package: installed, but it does not start")
    return None


def from_playwright(tried: list[str]) -> str | None:
    """Playwright's own build, downloaded."""
    print("test: asking playwright for its chromium", file=sys.stderr)
    if not runs([sys.executable, "-m", "playwright", "install", "chromium"]):
        tried.append("playwright: its download failed")
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    if starts(path):
        return path
    tried.append("playwright: downloaded, but it does not start (its system libraries may be missing)")
    return None


def starts(path: str) -> bool:
    """Whether the browser draws an empty page without a screen: a stub or missing libraries do not."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        return runs([path, *options, f"--user-data-dir={profile}", "--dump-dom", "about:blank"], timeout_s=60)


def runs(command: list[str], timeout_s: float = 900) -> bool:
    """Whether a command ends well in time; its output is shown only where it fails."""
    try:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    if done.returncode:
        sys.stderr.write("".join(done.stderr.splitlines(keepends=True)[-5:]))
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
