"""Whether a call does not move because other programs take the processors, measured while it is waited for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of a processor's line: user, nice, system, irq, softirq, steal; in clock ticks
OWN_FIELDS = (11, 12)  # of what stands behind a process's name: utime, stime
STILL_S = 1.0  # a call that sends nothing for so long does not move
ENOUGH = 0.5  # processors that are missing


class Sample(NamedTuple):
    """Ticks that the processors were busy, and those of them that were our own, at a time in seconds."""

    at_s: float
    busy: int
    own: int


class Patience:
    """One call that is waited for: `words` says what keeps it, once it has not moved for a while.

    `n_threads` are those that compute; `pids` gives our own processes, whose time is no other program's.
    """

    def __init__(self, n_threads: int, pids: Callable[[], Collection[int]]) -> None:
        self._n_threads, self._pids = n_threads, pids
        self._processors = usable()
        self._before: Sample | None = None
        self._next_s = time.monotonic() + STILL_S

    def moved(self) -> None:
        """It sent something."""
        self._before, self._next_s = None, time.monotonic() + STILL_S

    def words(self) -> str:
        """Why it does not move, at most once in `STILL_S`; "" where other programs are not the reason, or unknown."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return ""
        before, self._before, self._next_s = self._before, sample(self._processors, self._pids()), now_s + STILL_S
        if before is None or self._before is None:
            return ""
        return words(taken(before, self._before), self._n_threads, len(self._processors))


def words(taken_by_others: float, n_threads: int, processors: int) -> str:
    """The sentence where fewer processors are left than threads compute, "" elsewhere."""
    if taken_by_others < processors - min(n_threads, processors) + ENOUGH:
        return ""
    count = max(1, min(round(taken_by_others), processors))
    return f"the machine is busy: {count} of {processors} processors are taken by other programs"


def taken(before: Sample, after: Sample) -> float:
    """How many processors others took on average between two samples."""
    ticks = (after.busy - before.busy) - max(0, after.own - before.own)
    seconds = after.at_s - before.at_s
    return max(0.0, ticks / (seconds * os.sysconf("SC_CLK_TCK"))) if seconds > 0 else 0.0


def sample(processors: Collection[int], pids: Collection[int]) -> Sample | None:
    """How it stands now; None where the system does not tell."""
    try:
        busy = busy_ticks(STAT.read_text(), processors)
    except (OSError, ValueError):
        return None
    return Sample(time.monotonic(), busy, sum(map(_own_ticks, {os.getpid(), *pids})))


def busy_ticks(stat: str, processors: Collection[int]) -> int:
    """Ticks in the text of /proc/stat that `processors` were not idle since the start."""
    names = {f"cpu{number}" for number in processors}
    lines = (line.split() for line in stat.splitlines())
    return sum(sum(int(line[1 + field]) for field in BUSY_FIELDS) for line in lines if line and line[0] in names)


def usable() -> frozenset[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _own_ticks(pid: int) -> int:
    """Ticks that a process has computed; 0 for one that is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(int(after_name[field]) for field in OWN_FIELDS)
    except (OSError, ValueError, IndexError):
        return 0
