"""A machine that does not lock memory: the setting is not silently accepted, the side says so."""

import ctypes
import resource
import subprocess
import sys

import pytest

pytestmark = pytest.mark.model
PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14  # linux/prctl.h, linux/capability.h
PROGRAM = """
from workbench import Setup, versus
from workbench.data import toolsmith
from workbench.views import html_of
setup = Setup(model=str(toolsmith())).replace(**{"runtime.n_threads": 1})
found = versus([{"role": "user", "content": "a"}], setup, setup.replace(**{"runtime.use_mlock": True}), until="scores")
assert found.a.notes == (), found.a.notes
print(found.b.state, *found.b.notes)
assert "Note on B" in html_of(found)
"""


def locks_nothing():
    """In the child: root may lock what it likes, unless it has lost that capability."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))


def test_memory_that_cannot_be_locked_is_told():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, preexec_fn=locks_nothing, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("loaded use_mlock does not hold: failed to mlock ")
    assert done.stdout.strip().endswith("raise the limit (ulimit -l)")
