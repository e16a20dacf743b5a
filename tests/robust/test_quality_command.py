"""`workbench quality` as a user runs it: interrupted and given again, twice at the same time, odd texts and files."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.robust.conftest import files_in
from workbench.data import held_out_file, toolsmith
from workbench.runtime.process import child_environment

pytestmark = pytest.mark.model

CHUNK = ("--n-ctx", "64", "--json")


@pytest.fixture
def run(tmp_path):
    """Starts the command in a folder with a text and two setups."""
    (tmp_path / "text.txt").write_text(held_out_file().read_text("utf-8")[:12_000], "utf-8")
    for name, runtime in (("base", {}), ("keys", {"type_k": "q8_0"})):
        setup = {"model": str(toolsmith()), "runtime": {"n_threads": 1, "n_batch": 8} | runtime}
        (tmp_path / f"{name}.json").write_text(json.dumps(setup))

    def start(*arguments):
        command = [sys.executable, "-m", "workbench", "quality", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tmp_path, text=True, env=child_environment(), **pipes)

    return start


GIVEN = ("base.json", "keys.json", "--text", "text.txt", *CHUNK)


def ended(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def without_resumed(out):
    facts = json.loads(out)
    return facts.pop("resumed"), facts


def test_interrupted_it_goes_on_and_two_at_once_give_the_same(run, cache, children):
    first = run(*GIVEN)
    while len([name for name in files_in(cache) if name.endswith(".npy")]) < 3:
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    assert ended(first) == (130, "", "workbench: interrupted\n")
    left = [name for name in files_in(cache) if name.count("/") == 2]
    assert left
    assert all(name.endswith(".npy") and "/." not in name for name in left)
    until = time.monotonic() + 5
    while children() and time.monotonic() < until:  # the models' process hears of it by its pipe
        time.sleep(0.05)
    assert children() == []
    both = [run(*GIVEN) for _ in range(2)]
    answers = [ended(process) for process in both]
    assert [(code, err) for code, _, err in answers] == [(0, "")] * 2
    (resumed, facts), (_, others) = (without_resumed(out) for _, out, _ in answers)
    assert resumed >= len(left)
    assert facts == others
    again, same = without_resumed(ended(run(*GIVEN))[1])
    assert (again, same) == (facts["chunks"], facts)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "accepted are"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a" * 10, "give a longer text or a smaller n_ctx"),
    ],
)
def test_texts_that_are_none(run, tmp_path, content, words):
    (tmp_path / "odd.txt").write_bytes(content)
    code, out, err = ended(run("base.json", "keys.json", "--text", "odd.txt", *CHUNK))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_one_bad_candidate_of_two_is_told_before_anything_is_measured(run, tmp_path, cache):
    (tmp_path / "cut.gguf").write_bytes(toolsmith().read_bytes()[:-1000])
    code, out, err = ended(run("base.json", "keys.json", "cut.gguf", "--text", "text.txt", *CHUNK))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cut.gguf is cut off in the tensors: 1,000 bytes are missing" in err
    assert files_in(cache) == []


@pytest.mark.parametrize("n_ctx", ["0", "-1", "3", "2147483647", "2147483648", "1.5"])
def test_chunks_that_cannot_be(run, n_ctx):
    code, out, err = ended(run("base.json", "keys.json", "--text", "text.txt", "--n-ctx", n_ctx))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("workbench: ")
