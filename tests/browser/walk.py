"""Small steps through the explorer in JupyterLab, shared by tests, the benchmark and the README's picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from playwright.sync_api import Page

from tests.browser.chromium import artifacts
from tests.browser.lab import Lab, open_notebook, run_all

NOTEBOOK = "01-one-request-step-by-step.ipynb"
SHIPPED = Path(__file__).parents[2] / "notebooks" / NOTEBOOK
SETTLED = """() => {
  const root = document.querySelector('.wb');
  return root && root.dataset.busy === 'false' && root.dataset.done;
}"""


def copy_notebook(folder: Path) -> str:
    """The shipped notebook in `folder`; its name."""
    shutil.copy(SHIPPED, folder / NOTEBOOK)
    return NOTEBOOK


def write_notebook(folder: Path, name: str, *cells: str) -> str:
    """A notebook of code cells; its name."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, folder / name)
    return name


def open_explorer(page: Page, lab: Lab, notebook: str) -> None:
    """Open a notebook, run all its cells without an error, and wait until the explorer has settled."""
    open_notebook(page, lab, notebook)
    errors = run_all(page)
    assert errors == [], errors
    settle(page)


def settle(page: Page) -> str:
    """Wait until nothing runs; the stamp of what is shown."""
    page.locator(".wb").wait_for()
    page.wait_for_function(SETTLED, timeout=120_000)
    return str(page.locator(".wb").get_attribute("data-done"))


def after(page: Page, stamp: str) -> None:
    """Wait until a later run than `stamp` has settled."""
    page.wait_for_function(f"() => Number(document.querySelector('.wb').dataset.done) > {stamp}", timeout=120_000)
    settle(page)


def tokens(page: Page) -> list[str]:
    """The tokens on screen."""
    return page.locator(".wb-pane-tokens .wb-t").all_inner_texts()


def picture(page: Page, name: str) -> Path:
    """A screenshot of the window, the explorer at its top."""
    page.evaluate("() => document.querySelector('.wb, .workbench-copy')?.scrollIntoView()")
    page.wait_for_timeout(400)  # the chart fades in
    path = artifacts() / f"{name}.png"
    page.screenshot(path=path)
    return path
