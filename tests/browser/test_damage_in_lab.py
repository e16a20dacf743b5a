"""What a damage measurement shows in a real JupyterLab: table, chart, folds; nothing of it lost without a kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser import walk
from tests.browser.chromium import local_page
from tests.browser.lab import Lab, lab_on, open_notebook, run_all

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]
CELLS = (
    "from workbench.damage import measure\nwell = measure(requests=30)\nwell",
    (
        "from workbench.damage.faults import healthy\n"
        "worse = measure(healthy().replace(parser='plain'), requests=30)\nboth = well.against(worse)\nboth"
    ),
    "both.plot(theme=THEME)",
)


@pytest.fixture(params=["light", "dark"])
def lab(server, request) -> Iterator[tuple[Lab, str]]:
    theme = f"JupyterLab {request.param.title()}"
    with lab_on(server, f"damage-{request.param}", theme=theme) as running:
        yield running, request.param


def test_table_and_chart_are_drawn(browser, lab):
    running, theme = lab
    cells = (*CELLS[:2], CELLS[2].replace("THEME", repr(theme)))
    name = walk.write_notebook(running.folder, "damage.ipynb", *cells)
    with local_page(browser, viewport={"width": 1280, "height": 1900}) as page:
        open_notebook(page, running, name)
        assert run_all(page) == []
        expect(page.locator("table", has_text="exact tool calls").first).to_be_visible()
        expect(page.locator("table", has_text="difference").first).to_contain_text("right answers, all kinds")
        page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for()
        assert page.locator(".js-plotly-plot .scatterlayer .trace").count() == 2
        page.get_by_text("Right before, wrong after").click()
        expect(page.locator("table", has_text="the model wrote").last).to_contain_text("<tool_call>")
        walk.picture(page, f"damage-{theme}")
        page.get_by_text("Right before, wrong after").click()
        page.locator(".js-plotly-plot").scroll_into_view_if_needed()
        walk.picture(page, f"damage-chart-{theme}")
