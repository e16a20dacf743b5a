"""The process: it dies alone and says how, it never outlives the kernel, it is stopped without a reload."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from workbench.conversation import Conversation
from workbench.errors import Cancelled, HostDied
from workbench.progress import Cancel
from workbench.setup import Setup

SAMPLING = Setup().sampling_for(Conversation.of([{"role": "user", "content": "x"}]))
LONG = SAMPLING | {"max_tokens": 10_000}
CANCELLED_WITHIN_S = 0.5


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


class Killer:
    """A progress callback that sends a signal to the host's process when the work has begun."""

    def __init__(self, host, number):
        self.host, self.number, self.sent = host, number, False

    def __call__(self, what, done, total):
        if not self.sent and what in ("loading the model", "scoring", "generating"):
            self.sent = True
            os.kill(self.host.pid, self.number)


def attempt(host, operation, killer):
    if operation == "load":
        host.load(progress=killer)
    elif operation == "score":
        host.score([10] * 16_000, progress=killer)
    else:
        host.generate([10], LONG, progress=killer)


# 20 of each signal over the three operations.
CASES = [(name, operation) for name in ("SIGSEGV", "SIGABRT", "SIGKILL") for operation in ("load", "score", "generate")]


@pytest.mark.parametrize(("name", "operation"), CASES)
@pytest.mark.model
def test_a_killed_process_is_an_error_value_and_the_next_call_works(
    make_host, endless_model, demo_model, name, operation
):
    # Loading the tiny model is over too soon to be hit.
    path = demo_model if operation == "load" else endless_model
    host = make_host(path, runtime={"n_ubatch": 1, "n_batch": 1, "n_ctx": 16384, "use_mmap": False})
    phase = {"load": "loading the model", "score": "scoring", "generate": "generating"}[operation]
    for _ in range(7):
        if operation != "load":
            host.load()
        killer = Killer(host, getattr(signal, name))
        with pytest.raises(HostDied) as caught:
            attempt(host, operation, killer)
        died = caught.value
        assert killer.sent
        assert (died.signal, died.exit_code, died.operation) == (name, None, phase)
        assert path.name in died.settings
        assert died.log
        assert re.search(f"ended by {name} while it was in: {phase}", str(died))
    assert len(host.score([10, 11])) == 2
    assert host.pid


@pytest.mark.model
@pytest.mark.parametrize("operation", ["load", "score", "generate"])
def test_the_demo_model_s_process_is_killed(make_host, demo_model, operation):
    host = make_host(demo_model, runtime={"n_ubatch": 16, "n_ctx": 16384})
    killer = Killer(host, signal.SIGKILL)
    with pytest.raises(HostDied, match="SIGKILL"):
        attempt(host, operation, killer)
    assert len(host.score([10, 11])) == 2


def test_nothing_starts_before_the_first_call(make_host, tiny_model):
    host = make_host(tiny_model)
    assert host.pid is None
    assert host.log == ()
    host.tokenize("a")
    assert host.pid
    assert any("llama" in line for line in host.log)


def test_closing_ends_the_process_and_a_later_call_starts_another(make_host, tiny_model):
    host = make_host(tiny_model)
    host.load()
    pid = host.pid
    host.close()
    assert gone(pid)
    assert host.pid is None
    host.tokenize("a")
    assert host.pid != pid


def test_closing_while_it_works_is_a_cancel(make_host, tiny_model):
    host = make_host(tiny_model, runtime={"n_ctx": 65536})
    host.load()
    threading.Timer(0.3, host.close).start()
    with pytest.raises(Cancelled, match="closed"):
        host.score([10] * 60_000)


def cancel_after(seconds):
    cancel = Cancel()
    stamp = {}

    def fire():
        stamp["at"] = time.monotonic()
        cancel.set()

    threading.Timer(seconds, fire).start()
    return cancel, stamp


@pytest.mark.model
@pytest.mark.parametrize("operation", ["score", "generate", "prompt"])
def test_cancel_is_quick_and_keeps_the_model(demo, operation):
    demo.load()
    pid, loads = demo.pid, sum("loading model tensors" in line for line in demo.log)
    for _ in range(3):
        demo.score([0])
        cancel, stamp = cancel_after(0.3)
        ids = [100 + i % 1000 for i in range(3500)]
        if operation == "score":
            with pytest.raises(Cancelled, match="scoring was cancelled"):
                demo.score(ids, cancel=cancel)
        elif operation == "prompt":
            assert demo.generate(ids, SAMPLING, cancel=cancel).stop_reason == "cancelled"
        else:
            assert demo.generate([100], LONG, cancel=cancel).stop_reason == "cancelled"
        assert time.monotonic() - stamp["at"] < CANCELLED_WITHIN_S
    assert len(demo.score([100, 101, 102])) == 3
    assert demo.pid == pid
    assert sum("loading model tensors" in line for line in demo.log) == loads


@pytest.mark.model
def test_what_a_cancelled_pass_left_is_not_used(demo):
    ids = [100 + i % 1000 for i in range(1200)]
    demo.score([0])
    cancel, _ = cancel_after(0.5)
    with pytest.raises(Cancelled):
        demo.score(ids, cancel=cancel)
    resumed = demo.score(ids[:200])
    demo.score([0])
    fresh = demo.score(ids[:200])
    assert abs(resumed.logprob[:-1] - fresh.logprob[:-1]).max() < 0.05


@pytest.mark.model
def test_a_deadline_says_so(demo):
    demo.score([0])
    with pytest.raises(Cancelled, match=r"did not end within its deadline of 0\.2 s"):
        demo.score([100 + i % 1000 for i in range(3500)], deadline_s=0.2)


@pytest.mark.model
def test_loading_can_be_cancelled(make_host, demo_model):
    host = make_host(demo_model, runtime={"use_mmap": False})
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled, match="was cancelled"):
        host.load(cancel=cancel)
    assert host.load()["n_ctx"] == 4096


def test_calls_of_several_threads_queue_up(make_host, tiny_model):
    host = make_host(tiny_model)
    failures = []

    def work(n):
        try:
            for _ in range(10):
                assert len(host.score([10 + n] * (n + 2))) == n + 2
                assert len(host.tokenize("a" * (n + 1))) == n + 1
        except BaseException as error:  # noqa: BLE001  whatever it is, the test shall say it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_an_interrupt_leaves_the_host_usable(make_host, endless_model):
    host = make_host(endless_model, runtime={"n_ctx": 16384})
    host.load()
    pid = host.pid

    def interrupt(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        host.generate([10], LONG, progress=interrupt)
    assert len(host.score([10, 11])) == 2
    assert host.pid == pid


PARENT = """
    import sys, threading
    from workbench.runtime.host import Host
    from workbench.setup import Setup
    host = Host(Setup.from_dict({{"model": {model!r}, "runtime": {{"n_ctx": 65536}}}}))
    host.load()
    print(host.pid, flush=True)
    {then}
"""


@pytest.mark.parametrize("how", ["SIGKILL in a decode", "SIGKILL at rest", "end of the program", "a forked child"])
def test_no_process_outlives_the_kernel(tiny_model, how):
    then = {
        "SIGKILL in a decode": "host.score([10] * 60_000)",
        "SIGKILL at rest": "sys.stdin.read()",
        "end of the program": "sys.exit()",
        # The child keeps the write end of the pipe open; the process must notice that its parent is gone.
        "a forked child": "import os, time\n    time.sleep(30) if os.fork() == 0 else sys.stdin.read()",
    }[how]
    program = textwrap.dedent(PARENT.format(model=str(tiny_model), then=then))
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    others = []
    if how != "end of the program":
        time.sleep(0.3)
        others = [p for p in psutil.Process(parent.pid).children() if p.pid != child]
        parent.kill()
    parent.wait(10)
    wait_until(lambda: gone(child), 3.0)
    for other in others:
        other.kill()


def test_no_fault_leaves_a_process_behind(tiny_model):
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "workbench.runtime.worker" in " ".join(process.cmdline()):
                assert process.ppid() == os.getpid()


@pytest.mark.waits
def test_a_cancelled_call_that_does_not_end_is_replaced(make_host, tiny_model, monkeypatch):
    """A stopped process answers no cancel: the call returns at once, and the next one gets a fresh process."""
    monkeypatch.setattr("workbench.runtime.host.ABANDONED_WAIT_S", 0.5)
    monkeypatch.setattr("workbench.runtime.process.END_WAIT_S", 0.2)
    host = make_host(tiny_model)
    host.load()
    pid, cancel = host.pid, Cancel()
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.1, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        host.score([10] * 100, cancel=cancel)
    assert time.monotonic() - started < 1.0
    assert len(host.score([10, 11])) == 2
    assert host.pid != pid
    assert gone(pid)
