"""Hosts for the tests: toolsmith's and the demo model's, shared by tests that change nothing, and tiny ones."""

import pytest

from tests.gguf import tiny
from workbench import data
from workbench.runtime.host import Host
from workbench.setup import Setup


@pytest.fixture(scope="session")
def demo(demo_model):
    with Host(Setup(model=str(demo_model))) as host:
        yield host


@pytest.fixture(scope="session")
def toolsmith():
    with Host(Setup(model=str(data.toolsmith()))) as host:
        yield host


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return tiny.model_file(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory):
    return tiny.model_file(tmp_path_factory.mktemp("endless") / "endless.gguf", endless=True)


@pytest.fixture
def tiny_host(tiny_model):
    with Host(Setup(model=str(tiny_model))) as host:
        yield host


@pytest.fixture
def make_host():
    """Hosts that end with the test."""
    hosts = []

    def make(path, **settings):
        hosts.append(Host(Setup.from_dict({"model": str(path), **settings})))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch, request):
    """Altered copies go to a folder of the test run, the demo model stays where it is."""
    if "demo_model" not in request.fixturenames and "demo" not in request.fixturenames:
        monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
