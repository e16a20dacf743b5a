"""A model beside a program that keeps one processor busy: scoring and answering against the same on the quiet machine.

In one run, in turns: how long 512 tokens take to score and 64 to write with the machine to themselves, with another
program that only computes, and, quiet, with the waiting that libgomp has by itself, which was ours before. With the
other program all rounds count, for how bad it gets depends on where the system puts the threads; between two quiet
ones the median of the rounds' ratios.

Run `python benchmarks/busy.py [--rounds 9]` on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from workbench.data import demo_model
from workbench.runtime.host import Host
from workbench.runtime.waiting import POLICIES
from workbench.setup import Setup

MOST_BUSY, MOST_QUIET = 2.5, 1.03
SCORED, WRITTEN = 512, 64
LIBGOMPS_OWN = {"GOMP_SPINCOUNT": "300000"}
SETTLE_S = 0.1


class Times(NamedTuple):
    """Seconds of one round."""

    score: float
    answer: float


def main() -> int:
    """Print the table's rows; 1 where an aim is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=9)
    rounds = options.parse_args().rounds
    quiet, busy, before = [], [], []
    with host_with({}) as ours, host_with(LIBGOMPS_OWN) as theirs, other_program() as other:
        for number in range(rounds):
            for host, times in ((ours, quiet), (theirs, before))[:: 1 if number % 2 else -1]:
                times.append(measure(host))
            other.send_signal(signal.SIGCONT)
            time.sleep(SETTLE_S)
            busy.append(measure(ours))
            other.send_signal(signal.SIGSTOP)
    missed = 0
    for name, tokens in (("score", SCORED), ("answer", WRITTEN)):
        alone, beside, own = ([getattr(each, name) for each in times] for times in (quiet, busy, before))
        slower = sum(beside) / sum(alone)
        against = statistics.median(a / b for a, b in zip(alone, own, strict=True))
        worst = max(beside) / statistics.median(alone)
        print(
            f"| {name} {tokens} tokens, one processor kept busy | {slower:.2f} times as long "
            f"({1000 * statistics.median(alone):,.0f} ms quiet; worst round {worst:.2f}) | at most {MOST_BUSY} |"
        )
        print(f"| the same, quiet | {against:.3f} of libgomp's own waiting | at most {MOST_QUIET} |")
        missed += slower > MOST_BUSY or against > MOST_QUIET
    return min(missed, 1)


@contextlib.contextmanager
def host_with(policy: dict[str, str]) -> Iterator[Host]:
    """The demo model, loaded in a process whose OpenMP waits by `policy`, {} for what the workbench chooses."""
    for name in POLICIES:
        os.environ.pop(name, None)
    os.environ.update(policy)
    with Host(Setup.from_dict({"model": str(demo_model()), "runtime": {"n_ctx": 1024}})) as host:
        host.load()
        measure(host)
        yield host


@contextlib.contextmanager
def other_program() -> Iterator[subprocess.Popen[bytes]]:
    """A program that only computes, stopped until somebody continues it."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    program.send_signal(signal.SIGSTOP)
    try:
        yield program
    finally:
        program.kill()
        program.wait()


def measure(host: Host) -> Times:
    """One round; nothing of the one before is reused."""
    ids = [100 + (i * 7919) % 40_000 for i in range(SCORED)]
    ends = dict.fromkeys(map(str, host.ends()), False)
    sampling = Setup().effective()["sampling"] | {"stop": [], "max_tokens": WRITTEN, "logit_bias": ends}
    host.score([99])
    started = time.perf_counter()
    host.score(ids)
    between = time.perf_counter()
    answer = host.generate(ids[:4], sampling)
    assert len(answer) == WRITTEN
    return Times(between - started, time.perf_counter() - between)


if __name__ == "__main__":
    sys.exit(main())
