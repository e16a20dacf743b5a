"""A kernel that is interrupted at any moment: nothing half-written, no process left, the next call is right."""

import random
import time
from pathlib import Path

import pytest

from tests.robust.conftest import files_in, interrupted_after
from workbench.data import toolsmith
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.quality import measure
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise, quantised
from workbench.trace import Trace, trace

pytestmark = pytest.mark.model

TIMES = 12
IDS = list(range(3, 103))
TEXT = "A short text, but long enough for some chunks of sixteen tokens. " * 20
HELLO = [{"role": "user", "content": "Hi"}]


def interrupt_often(work):
    """Do `work` again and again, interrupted at another moment of the time that it takes; how often it was hit."""
    started = time.monotonic()
    work()
    took, rng, hits = time.monotonic() - started, random.Random(5), 0
    for _ in range(TIMES):
        try:
            with interrupted_after(max(0.001, took * rng.random())):
                work()
        except KeyboardInterrupt:
            hits += 1
    print(f"hit {hits} of {TIMES}, {took:.2f} s each")
    assert hits
    return hits


def settled(children, most):
    """Whether no more than `most` processes are left, some time given to those that end by themselves."""
    end = time.monotonic() + 5
    while len(children()) > most and time.monotonic() < end:
        time.sleep(0.05)
    return len(children()) <= most


def test_a_quantisation(model, tmp_path, children):
    target = tmp_path / "made" / "q8.gguf"
    whole = quantise(model, target, "Q8_0").read_bytes()
    interrupt_often(lambda: quantise(model, target, "Q8_0"))
    assert files_in(target.parent) == ["q8.gguf"]
    assert target.read_bytes() == whole
    assert settled(children, 0)


def test_files_in_the_cache(model, cache, children):
    header = read_header(model)

    def work():
        for path in [*cache.glob("altered/*"), *cache.glob("quantised/*")]:
            path.unlink()
        altered_copy(header, {"a": 1})
        quantised(model, "Q8_0")

    interrupt_often(work)
    assert not [name for name in files_in(cache) if name.count("/") > 1 or name.endswith(".part") or "/." in name]
    for path in cache.rglob("*.gguf"):
        assert read_header(path).has_weights
    assert settled(children, 0)


def test_scoring(setup, children):
    with Host(setup) as fresh:
        expected = fresh.score(IDS)
    with Host(setup) as host:
        interrupt_often(lambda: (host.score([5]), host.score(IDS * 3)))
        host.score([5])
        assert host.score(IDS) == expected
        assert settled(children, 1)


def test_starting_a_process_that_nobody_ends(setup, children):
    """A cell that is run again: the host of the time before is forgotten, interrupted or not."""
    interrupt_often(lambda: Host(setup).load())
    assert settled(children, 0)


def test_a_measurement_goes_on(setup, cache, children):
    other = setup.replace(**{"runtime.type_k": "q8_0"})
    whole = measure(setup, [other], TEXT, n_ctx=64, resume=False)

    def work():
        for path in cache.rglob("*.npy"):
            path.unlink()
        measure(setup, [other], TEXT, n_ctx=64)

    interrupt_often(work)
    assert not [name for name in files_in(cache) if "/." in name]
    again = measure(setup, [other], TEXT, n_ctx=64)
    assert again == whole
    assert settled(children, 0)


def test_saving_a_trace(setup, tmp_path):
    folders = tmp_path / "one", tmp_path / "two"
    found = trace(HELLO, setup.replace(model=str(toolsmith())), until="scores")

    def work():
        for folder in folders:
            found.save(folder)

    interrupt_often(work)
    for folder in folders:
        assert files_in(folder) == ["arrays.npz", "hashes.json", "trace.json"]
        assert Trace.load(folder) == found


@pytest.mark.parametrize("renamed", [1, 2])
def test_a_trace_over_another_one_interrupted_between_two_files(setup, tmp_path, monkeypatch, renamed):
    setup = setup.replace(model=str(toolsmith()))
    trace(HELLO, setup, until="scores").save(tmp_path / "kept")
    found = trace([{"role": "user", "content": "Another"}], setup, until="scores")
    calls, replace = [], Path.replace

    def interrupted(self, target):
        calls.append(target)
        if len(calls) == renamed + 1:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found.save(tmp_path / "kept")
    assert files_in(tmp_path / "kept") == ["arrays.npz", "hashes.json", "trace.json"]
    assert Trace.load(tmp_path / "kept") == found
