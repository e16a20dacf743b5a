"""Toolsmith, some precisions of it and a text that it knows; what is measured goes to a cache of the test run."""

import pytest

from workbench.data import held_out_file, toolsmith
from workbench.runtime.quantise import quantise
from workbench.setup import Setup


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch, request):
    """The demo model stays where it is."""
    if "demo_model" not in request.fixturenames:
        monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def base():
    """Toolsmith on one thread, so that tests beside each other do not wait for one another."""
    return Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1}})


@pytest.fixture(scope="session")
def q4(tmp_path_factory):
    return quantise(toolsmith(), tmp_path_factory.mktemp("q4") / "q4.gguf", "Q4_0")


@pytest.fixture(scope="session")
def text():
    return held_out_file().read_text("utf-8")[:1500]
