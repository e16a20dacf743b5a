"""A cache and a scratch folder of each test's own, and a work that is interrupted at some moment."""

import contextlib
import signal

import psutil
import pytest

from workbench.data import toolsmith
from workbench.setup import Setup


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache; what stands in it at the end can be looked at."""
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path):
    """A copy of toolsmith that may be damaged."""
    path = tmp_path / "model.gguf"
    path.write_bytes(toolsmith().read_bytes())
    return path


@pytest.fixture
def setup(model):
    """On one thread, for these tests run beside others."""
    return Setup.from_dict({"model": str(model), "runtime": {"n_threads": 1, "n_ubatch": 32}})


@pytest.fixture
def children():
    """The processes that this one has started since the test began and that still run."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    def running():
        found = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid not in before and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found

    return running


def files_in(folder):
    """The files and folders below, by their path from there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextlib.contextmanager
def interrupted_after(seconds):
    """An interrupt as a notebook's kernel gets one, after `seconds`; none comes once the block is left."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def files_of_at_most(size):
    """No file grows beyond `size` bytes, those of processes started meanwhile neither: as on a disk that gets full."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python gets an error in place of a signal
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
