"""Setups and token ids of toolsmith, and quantised files of it; what is cached goes to a folder of the test run."""

import pytest

from workbench import data
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.setup import Setup

TEXT = "<|begin|><|turn|>user\nWhat is the weather in Paris, and is 17 more than 3?<|end|>\n<|turn|>assistant\n"
REQUEST = {
    "messages": [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": "What is the weather in Paris?"},
    ]
}


@pytest.fixture(scope="session")
def toolsmith():
    return Setup.from_dict({"model": str(data.toolsmith()), "runtime": {"n_threads": 1}})


@pytest.fixture(scope="session")
def ids(toolsmith):
    with Host(toolsmith) as host:
        return host.tokenize(TEXT).ids.tolist()


@pytest.fixture(scope="session")
def low(toolsmith, tmp_path_factory):
    """Toolsmith in Q4_0."""
    path = quantise(data.toolsmith(), tmp_path_factory.mktemp("low") / "low.gguf", "Q4_0")
    return toolsmith.replace(model=str(path))


@pytest.fixture(scope="session")
def hosts(toolsmith):
    """Two processes with toolsmith."""
    with Host(toolsmith) as a, Host(toolsmith) as b:
        yield a, b


@pytest.fixture(scope="session")
def low_hosts(hosts, low):
    """Toolsmith beside its Q4_0."""
    with Host(low) as host:
        yield hosts[0], host


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch, request):
    if "demo_model" not in request.fixturenames:
        monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
