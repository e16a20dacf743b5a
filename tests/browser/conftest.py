"""One JupyterLab for all browser tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.lab import Server, lab_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each test file, or test, has a folder of its own there: see `lab_on`."""
    with lab_server(tmp_path_factory.mktemp("lab")) as running:
        yield running
