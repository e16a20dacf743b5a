"""How the threads that compute wait for each other, so that a model's process gets on beside other programs.

llama.cpp's threads meet some hundred times in each token. By default one that is early spins for milliseconds: where
two of them share a processor, because another program has the other one, each meeting lasts as long as the system lets
the early one spin. They give the processor up soon instead, and ask the system for short turns, so that one that is
woken need not wait until another program's turn is over. On a machine with nothing else to do neither is felt, for
there they meet within microseconds. Numbers do not change: how many threads compute is never chosen by this.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Mapping

# Rounds of waiting before a thread sleeps, some 8 microseconds; libgomp's own default is 300,000.
# https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
SPINS = "300"
POLICIES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # who sets one of them knows better
# A turn of 0.1 ms, the least that Linux gives; from 6.12 on it takes the wish, before that it ignores it.
# https://docs.kernel.org/scheduler/sched-eevdf.html
TURN_NS = 100_000
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # the system call's number
NORMAL = 0  # SCHED_OTHER
ATTRIBUTES = struct.Struct("<IIQiIQQQ")  # struct sched_attr: size, policy, flags, nice, priority, runtime, 2 more


def defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to a child's environment so that OpenMP's threads do not spin for long."""
    return {} if any(name in environment for name in POLICIES) else {"GOMP_SPINCOUNT": SPINS}


def ask_for_short_turns() -> None:
    """Ask for them for this thread, and those that it starts later; what the system does not know changes nothing."""
    number = SCHED_SETATTR.get(platform.machine())
    if platform.system() != "Linux" or number is None or os.sched_getscheduler(0) != NORMAL:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wish = ATTRIBUTES.pack(ATTRIBUTES.size, NORMAL, 0, nice, 0, TURN_NS, 0, 0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).syscall(ctypes.c_long(number), 0, wish, 0)
