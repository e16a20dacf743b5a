"""A model that is written over, replaced, deleted or unreadable, before and while it is used."""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.robust.conftest import files_in
from workbench.data import toolsmith
from workbench.errors import BadFile
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.quality import measure
from workbench.runtime.host import Host
from workbench.runtime.process import child_environment
from workbench.runtime.quantise import quantise, quantised

pytestmark = pytest.mark.model

IDS = list(range(3, 903))  # in batches of 4: some tenths of a second
TEXT = "A short text, but long enough for some chunks of sixteen tokens. " * 20


class Once:
    """A progress callback that strikes once in the middle of `phase`."""

    def __init__(self, phase, strike):
        self.phase, self.strike, self.struck = phase, strike, False

    def __call__(self, what, done, total):
        if not self.struck and what == self.phase and done < total:
            self.struck = True
            self.strike()


def zero_the_end(path):
    """Other weights in the same file, as a download that writes into it."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - 2_000_000)
        file.write(bytes(2_000_000))


def put_another_in_its_place(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    zero_the_end(other)
    other.replace(path)


@pytest.fixture
def setup(setup):
    return setup.replace(**{"runtime.n_ubatch": 4})


@pytest.fixture
def expected(setup):
    with Host(setup.replace(model=str(toolsmith()))) as host:
        return host.score(IDS)


@pytest.mark.parametrize("write", [zero_the_end, lambda path: os.truncate(path, 500_000)], ids=["written", "cut"])
def test_a_file_written_to_while_it_is_mapped_gives_no_result(setup, model, expected, write):
    whole = model.read_bytes()
    with Host(setup) as host:
        host.load()
        with pytest.raises(BadFile, match=r"model.gguf was changed while the model's process read it"):
            host.score(IDS, progress=Once("scoring", lambda: write(model)))
        model.write_bytes(whole)
        assert host.score(IDS) == expected  # it is loaded anew


def test_a_file_replaced_or_deleted_while_it_is_mapped_is_the_old_one_to_the_end(setup, model, expected):
    with Host(setup) as host:
        host.load()
        assert host.score(IDS, progress=Once("scoring", lambda: put_another_in_its_place(model))) == expected
        new = host.score(IDS, progress=Once("scoring", model.unlink))
        assert not np.array_equal(new.logprob[:-1], expected.logprob[:-1])
        for _ in range(2):
            with pytest.raises(BadFile, match=r"model.gguf does not exist; .*; check the path"):
                host.score(IDS)
        model.write_bytes(toolsmith().read_bytes())
        assert host.score(IDS) == expected


@pytest.mark.parametrize("change", [zero_the_end, put_another_in_its_place, os.remove])
def test_no_cached_file_comes_of_a_source_that_changed(model, cache, change):
    with pytest.raises(BadFile, match=r"model.gguf (was changed while a Q8_0 of it was made|is gone)"):
        quantised(model, "Q8_0", progress=Once("making a Q8_0", lambda: change(model)))
    assert files_in(cache) == ["quantised"]


@pytest.mark.parametrize("change", [zero_the_end, put_another_in_its_place, lambda path: os.truncate(path, 500_000)])
def test_no_altered_copy_comes_of_a_source_that_changed(model, cache, change, monkeypatch):
    monkeypatch.setattr("workbench.gguf.altered.CHUNK_BYTES", 1 << 20)  # as if it were a large file
    header = read_header(model)
    with pytest.raises(BadFile, match=r"model.gguf was (changed while an altered copy was made|cut off while)"):
        altered_copy(header, {"a": 1}, progress=Once("making an altered copy", lambda: change(model)))
    assert files_in(cache) == ["altered"]


def test_a_header_read_before_the_file_was_written_anew_makes_no_copy(model, cache):
    header = read_header(model)
    quantise(toolsmith(), model, "Q8_0")
    with pytest.raises(BadFile, match=r"model.gguf was changed since its header was read"):
        altered_copy(header, {"a": 1})
    assert files_in(cache) == []


def test_a_measurement_keeps_no_figures_of_a_candidate_that_changed(setup, model, cache, tmp_path):
    low = quantise(model, tmp_path / "low.gguf", "Q8_0")
    candidate = setup.replace(model=str(low))
    with pytest.raises(BadFile, match=r"low.gguf was changed while it was measured"):
        measure(setup, [candidate], TEXT, n_ctx=64, progress=Once("comparing", lambda: zero_the_end(low)))
    assert [name for name in files_in(cache) if name.endswith(".npy")] == []


UNREADABLE = """
    import os, sys
    from workbench.errors import WorkbenchError
    from workbench.runtime.host import Host
    from workbench.runtime.quantise import quantise
    from workbench.setup import Setup
    if os.getuid() == 0:
        os.setuid(65534)  # root reads everything
    path = sys.argv[1]
    for work in (lambda: Host(Setup(model=path)).load(), lambda: quantise(path, path + ".q8", "Q8_0")):
        try:
            work()
        except WorkbenchError as error:
            print(type(error).__name__, error)
"""


def test_a_file_that_may_not_be_read_is_one_sentence(model):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = model.rename(folder / "model.gguf")
        path.chmod(0)
        command = [sys.executable, "-c", textwrap.dedent(UNREADABLE), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=child_environment())
        assert files_in(folder) == ["model.gguf"]
    assert done.stderr == ""
    assert done.stdout.count(f"BadFile {path} cannot be read: [Errno 13] Permission denied") == 2
