"""The installed build on this machine, and the same with a fault put into it."""

import json
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest

from tests.runtime import illegal
from workbench.errors import Cancelled
from workbench.progress import Cancel
from workbench.proof import last, prove, settle
from workbench.proof.cases import CASES, KINDS, LENGTHS, figures, nats_from, prompts
from workbench.runtime.limits import known

pytestmark = pytest.mark.model
# Says of every operation that it is computed, and computes nothing.
NOTHING = "int ggml_cpu_extra_compute_forward(void *params, void *op) { return 1; }"
AT_START = "__attribute__((constructor)) static void fault(void) { __builtin_trap(); }"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def compiled(folder, source):
    path = folder / "fault.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", path], input=source.encode(), check=True)
    return path


def test_the_installed_build_holds_and_nothing_is_left_behind(cache):
    found = prove()
    assert found.holds, found
    assert [result.case for result in found.results] == list(CASES)
    assert list(cache.glob("proof-*")) == []


def test_the_figures_are_distributions_that_differ_from_each_other():
    assert [len(ids) for ids in prompts()] == list(LENGTHS)
    for kind in KINDS:
        rows = figures()[kind]
        assert rows.shape == (len(LENGTHS), 1024)
        np.testing.assert_allclose(np.exp(rows.astype(np.float64)).sum(-1), 1, rtol=1e-5)
        assert nats_from(rows[0], rows[0]) == 0
        assert min(nats_from(a, b) for a, b in pairwise(rows)) > 0.5
    assert nats_from(rows[0], np.full(1024, np.nan)) == float("inf")


def test_a_fault_with_extra_buffers_is_told_remembered_and_they_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(illegal.library(tmp_path, always=False)))
    settled = settle()
    first = settled.proofs[0]
    assert {result.verdict for result in first.results if not result.extra_buffers} == {"right"}
    dead = [result for result in first.results if result.verdict == "died"]
    assert dead
    assert all("SIGILL in: a prompt of" in result.detail for result in dead)
    assert settled.taken is not None
    assert known().no_extra_bufts
    assert last() == settled.to_dict()
    monkeypatch.delenv("LD_PRELOAD")
    assert settle().limits.no_extra_bufts is False, "it is tried anew"
    assert not known().no_extra_bufts


def test_a_build_that_computes_wrong_is_told_with_how_far_it_is_off(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(compiled(tmp_path, NOTHING)))
    found = prove()
    assert {result.verdict for result in found.results} == {"wrong"}
    assert "a prompt of" in found.sentence()


def test_a_build_that_cannot_start_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_TEST_FAULT", str(compiled(tmp_path, AT_START)))
    starter = "import os, runpy; os.environ['LD_PRELOAD'] = os.environ.pop('GGUF_WORKBENCH_TEST_FAULT');"
    starter += "import sys; sys.argv[1:] = ['--json']; runpy.run_module('workbench.proof', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True)
    assert done.returncode == 1, done
    facts = json.loads(done.stdout)
    assert facts["usable"] is False
    assert "SIGILL" in facts["sentence"]


def test_it_can_be_cancelled(cache):
    cancel = Cancel()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(Cancelled):
        prove(cancel=cancel)
    assert list(cache.glob("proof-*")) == []
