"""The scripts of data/toolsmith as modules, for as long as a test runs."""

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "data/toolsmith"


@pytest.fixture
def script(monkeypatch):
    """`script("held_out")` imports that script; afterwards none of them is imported any more."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = {path.stem for path in SCRIPTS.glob("*.py")}
    taken = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(taken)
