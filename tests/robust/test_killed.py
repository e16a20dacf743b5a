"""A process that is killed in the middle of writing: nothing half is taken for a whole, and what it left is removed."""

import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import psutil
import pytest

from tests.robust.conftest import files_in
from workbench.aside import ABANDONED_S, aside, remove_abandoned, scratch
from workbench.data import toolsmith
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.quality.state import State
from workbench.runtime.process import child_environment
from workbench.runtime.quantise import cached_path, quantised
from workbench.setup import Setup
from workbench.sweep_cell import MEASURED, keep, kept
from workbench.trace import Trace, trace

CHANGES = {"tokenizer.ggml.token_type": [1] * 1024}
WORK = {
    "an altered copy": """
        from workbench.gguf import altered
        altered.CHUNK_BYTES = 1 << 20
        altered.altered_copy(read_header(path), {"tokenizer.ggml.token_type": [1] * 1024}, progress=die)
        """,
    "a quantisation": """
        from workbench.runtime.quantise import quantised
        quantised(path, "Q8_0", progress=die)
        """,
    "a trace": """
        from pathlib import Path
        from workbench.trace import Trace
        write = Path.write_bytes
        Path.write_bytes = lambda self, data: (write(self, data[: len(data) // 2]), die("", 1, 2))
        Trace.load(target).save(target)
        """,
    "a scratch folder": """
        from workbench.aside import scratch
        with scratch() as folder:
            (folder / "stretch").write_bytes(bytes(100))
            die("", 1, 2)
        """,
}
START = """
    import os, signal, sys
    from workbench.gguf.header import read_header
    path, target = sys.argv[1:]
    def die(what, done, total):
        if done:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(work, target="", **environment):
    """Do `work` in a process that kills itself in the middle of it, and wait for its children too."""
    code = textwrap.dedent(START) + textwrap.dedent(WORK[work])
    command = [sys.executable, "-c", code, str(toolsmith()), str(target)]
    done = subprocess.run(command, env=child_environment() | environment)
    assert done.returncode == -9
    end = time.monotonic() + 10
    while any("quantise_worker" in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.model
def test_an_altered_copy(cache):
    killed("an altered copy")
    (left,) = (cache / "altered").iterdir()
    assert left.suffix == ".part"
    copy = altered_copy(read_header(toolsmith()), CHANGES)
    assert files_in(cache) == ["altered", f"altered/{copy.name}"]
    assert read_header(copy).has_weights


@pytest.mark.model
def test_a_quantisation(cache):
    killed("a quantisation")
    assert not cached_path(toolsmith(), "Q8_0").exists()
    made = quantised(toolsmith(), "Q8_0")
    assert files_in(cache) == ["quantised", f"quantised/{made.name}"]
    assert set(read_header(made).tensor_types()) == {"Q8_0", "F32"}


@pytest.mark.model
def test_a_cached_file_that_was_cut_off_is_made_anew():
    header = read_header(toolsmith())
    for make in (lambda: altered_copy(header, CHANGES), lambda: quantised(toolsmith(), "Q8_0")):
        path = make()
        whole = path.read_bytes()
        os.truncate(path, len(whole) // 2)
        assert make() == path
        assert path.read_bytes() == whole


@pytest.mark.model
def test_a_trace_over_another_one(tmp_path):
    found = trace([{"role": "user", "content": "Hi"}], Setup(model=str(toolsmith())), until="tokens")
    folder = found.save(tmp_path / "kept")
    killed("a trace", folder)
    assert len(files_in(folder)) == 4
    assert Trace.load(folder) == found
    found.save(folder)
    assert files_in(folder) == ["arrays.npz", "hashes.json", "trace.json"]


def test_a_scratch_folder_goes_with_the_next_one(tmp_path, monkeypatch):
    killed("a scratch folder", TMPDIR=str(tmp_path))
    assert len(files_in(tmp_path)) == 2
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch() as folder:
        assert files_in(tmp_path) == [folder.name]
    assert files_in(tmp_path) == []


def test_only_what_nobody_writes_any_more_is_removed(tmp_path):
    with aside(tmp_path / "target") as part, scratch(tmp_path) as folder:
        part.write_bytes(b"ours")
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
        machine, _, number = part.name.strip(".").removesuffix(".part").split("-")
        for name in (f".{machine}-{gone.stdout.strip()}-{number}.part", f".00000000-{os.getpid()}-{number}.part"):
            (tmp_path / name).write_bytes(b"theirs")
        (tmp_path / "a user's.part").write_bytes(b"")
        remove_abandoned(tmp_path)
        of_another_machine = f".00000000-{os.getpid()}-{number}.part"
        assert files_in(tmp_path) == sorted(["a user's.part", of_another_machine, part.name, folder.name])
        old = time.time() - ABANDONED_S - 60
        os.utime(tmp_path / of_another_machine, (old, old))
        remove_abandoned(tmp_path)
    assert files_in(tmp_path) == ["a user's.part", "target"]


BROKEN = [b"", b"[" * 100_000, b"null", b'{"error": 5}', b"\xff", b'{"stage": [], "log": "x"}', b"PK\5\6" + bytes(18)]


@pytest.mark.parametrize("content", BROKEN)
def test_what_was_measured_is_measured_anew_where_it_cannot_be_read(tmp_path, content):
    keep(tmp_path, "cell", dict(MEASURED))
    assert kept(tmp_path, "cell") == MEASURED
    (tmp_path / "cell.json").write_bytes(content)
    assert kept(tmp_path, "cell") is None
    state = State({}, (2, 3))
    figures = np.arange(6, dtype=np.float32).reshape(2, 3)
    state.save(0, figures)
    assert np.array_equal(state.load(0), figures)
    state.folder.joinpath("000000.npy").write_bytes(content)
    assert state.load(0) is None
