"""What tests of every room share: the demo model."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The demo model's path; a machine without it fails, so that nothing is skipped unseen."""
    from workbench.data import demo_model
    from workbench.errors import WorkbenchError

    try:
        return demo_model()
    except WorkbenchError as error:
        pytest.fail(f"{error}", pytrace=False)
