"""A call that does not move because other programs take the processors says so; one that moves does not."""

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest

from workbench.runtime import contention
from workbench.runtime.contention import Patience, Sample, busy_ticks, taken, usable, words

STAT = """\
cpu  1 1 1 1 1 1 1 1 0 0
cpu0 100 10 20 5000 7 1 2 3 0 0
cpu1 1000 0 0 5000 7 0 0 0 0 0
cpu10 9 9 9 9 9 9 9 9 0 0
intr 5
"""
HZ = os.sysconf("SC_CLK_TCK")


def test_the_time_of_the_processors_that_we_may_use_counts_and_waiting_for_disks_does_not():
    assert busy_ticks(STAT, {0}) == 100 + 10 + 20 + 1 + 2 + 3
    assert busy_ticks(STAT, {0, 1}) == 136 + 1000
    assert busy_ticks(STAT, {7}) == busy_ticks("", {0}) == 0


def test_what_others_took_is_all_but_our_own():
    assert taken(Sample(10.0, 0, 0), Sample(12.0, 3 * HZ, HZ)) == 1.0
    assert taken(Sample(10.0, 0, 5 * HZ), Sample(12.0, 2 * HZ, 0)) == 1.0, "one of ours has ended"
    assert taken(Sample(10.0, 0, 0), Sample(12.0, HZ, 2 * HZ)) == 0.0
    assert taken(Sample(10.0, 0, 0), Sample(10.0, HZ, 0)) == 0.0


@pytest.mark.parametrize(
    ("others", "n_threads", "processors", "count"),
    [(1.0, 2, 2, 1), (0.6, 2, 2, 1), (1.7, 1, 2, 2), (9.0, 4, 2, 2), (0.6, 64, 4, 1), (5.0, 4, 8, 5)],
)
def test_it_is_said_where_fewer_processors_are_left_than_threads_compute(others, n_threads, processors, count):
    said = words(others, n_threads, processors)
    assert said == f"the machine is busy: {count} of {processors} processors are taken by other programs"


@pytest.mark.parametrize(("others", "n_threads", "processors"), [(0.0, 2, 2), (0.4, 2, 2), (1.2, 1, 2), (4.0, 4, 8)])
def test_it_is_not_said_where_enough_are_left(others, n_threads, processors):
    assert not words(others, n_threads, processors)


def test_a_call_that_moves_says_nothing(monkeypatch):
    monkeypatch.setattr(contention, "STILL_S", 0.0)
    patience = Patience(10_000, list)
    patience.words()
    patience.moved()
    assert not patience.words(), "the first look begins the measurement"


def test_a_system_that_does_not_tell_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(contention, "STILL_S", 0.0)
    for content in (None, "cpu0 x"):
        monkeypatch.setattr(contention, "STAT", tmp_path / "stat")
        if content:
            (tmp_path / "stat").write_text(content)
        patience = Patience(10_000, list)
        assert not patience.words()
        assert not patience.words()


@pytest.fixture
def busy():
    """As many programs that only compute as there are processors."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in usable()]
    yield
    for program in programs:
        program.kill()
        program.wait()


@pytest.mark.waits
@pytest.mark.skipif(not contention.STAT.is_file(), reason="measured in /proc/stat; un-skip where another way is read")
@pytest.mark.usefixtures("busy")
def test_a_call_that_others_keep_from_moving_says_so_with_what_it_is_in(make_host, tiny_model):
    """The model's process is stopped, so that it surely does not move, until the reason was heard."""
    host, heard = make_host(tiny_model), []
    host.load()
    os.kill(host.pid, signal.SIGSTOP)

    def progress(what, _done, _total):
        heard.append(what)
        if "busy" in what:
            os.kill(host.pid, signal.SIGCONT)

    try:
        assert len(host.score([10, 11], progress=progress)) == 2
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(host.pid).resume()
    said = next(what for what in heard if "busy" in what)
    assert said.startswith("scoring: the machine is busy: ")
    assert said.endswith(f" of {len(usable())} processors are taken by other programs")
