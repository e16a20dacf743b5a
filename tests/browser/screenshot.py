"""The README's picture, from the real notebook: `python -m tests.browser.screenshot` writes docs/trace-explorer.png."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser import walk
from tests.browser.chromium import chromium, local_page
from tests.browser.lab import private_lab

PICTURE = Path(__file__).parents[2] / "docs" / "trace-explorer.png"
VIEWPORT = {"width": 1480, "height": 1420}


def main(path: Path = PICTURE) -> int:
    """Run the notebook, select the question's last word, and take the explorer with its chart."""
    with tempfile.TemporaryDirectory() as folder, private_lab(Path(folder)) as lab, chromium() as browser:
        notebook = walk.copy_notebook(Path(folder))
        with local_page(browser, viewport=VIEWPORT, device_scale_factor=1.5) as page:
            walk.open_explorer(page, lab, notebook)
            place = next(i for i, text in enumerate(walk.tokens(page)) if "France" in text)
            page.locator(".wb-pane-tokens .wb-t").nth(place).click()
            page.locator(".gtitle", has_text=f"Token {place}:").first.wait_for()
            page.mouse.move(0, 0)
            page.wait_for_timeout(800)  # the chart fades in
            page.evaluate("() => document.querySelector('.wb').scrollIntoView()")
            page.wait_for_timeout(200)
            output = page.locator(".jp-OutputArea-output", has=page.locator(".wb")).first
            path.parent.mkdir(exist_ok=True)
            page.screenshot(path=path, clip=output.bounding_box())
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
