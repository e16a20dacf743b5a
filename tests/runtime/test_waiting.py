"""Threads that wait give their processor up soon, unless the user says how they shall wait."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.runtime.process import child_environment
from workbench.runtime.waiting import POLICIES, SPINS, TURN_NS, defaults

SCHED = Path("/proc/self/sched")
LINUX = tuple(int(part) for part in platform.release().split(".")[:2]) if platform.system() == "Linux" else (0, 0)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in POLICIES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", POLICIES)
def test_who_sets_a_policy_keeps_it(monkeypatch, name):
    assert defaults({"A": "b"}) == {"GOMP_SPINCOUNT": SPINS}
    assert defaults({name: "7"}) == {}
    monkeypatch.setenv(name, "7")
    found = child_environment()
    assert {key: found[key] for key in POLICIES if key in found} == {name: "7"}


@pytest.mark.skipif(not SCHED.is_file(), reason="reads /proc/PID/environ; un-skip where another way is read")
def test_the_model_s_process_is_started_with_it(tiny_host):
    tiny_host.load()
    environment = Path(f"/proc/{tiny_host.pid}/environ").read_bytes().split(b"\0")
    assert f"GOMP_SPINCOUNT={SPINS}".encode() in environment


@pytest.mark.skipif(not SCHED.is_file() or LINUX < (6, 12), reason="un-skip where Linux takes the wish for short turns")
def test_the_threads_that_compute_have_short_turns(make_host, tiny_model):
    host = make_host(tiny_model, runtime={"n_threads": 3})
    host.score([10, 11])
    turns = [_turn(task) for task in Path(f"/proc/{host.pid}/task").iterdir()]
    assert turns.count(TURN_NS) >= 3


def _turn(task):
    lines = (task / "sched").read_text().splitlines()
    return int(next(line.rpartition(":")[2] for line in lines if line.startswith("se.slice")))


def test_nothing_else_of_a_process_changes():
    program = (
        "import os; from workbench.runtime.waiting import ask_for_short_turns as ask;"
        "told = lambda: (os.getpriority(0, 0), os.sched_getscheduler(0), os.sched_getaffinity(0));"
        "before = told(); ask(); ask(); print(before == told())"
    )
    command = ["nice", "-n", "3", sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
