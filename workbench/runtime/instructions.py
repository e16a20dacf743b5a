"""Why a process ended by SIGILL: what the loaded build of llama.cpp uses of a processor, and what this one has."""

from __future__ import annotations

import functools
import subprocess
import sys

from workbench import cpu
from workbench.cpu import Features
from workbench.errors import CannotRun, Refused
from workbench.runtime import records
from workbench.runtime.process import child_environment, signal_name

ILLEGAL = "SIGILL"
TIMEOUT_S = 60.0
AMX = "AMX"  # what the names of its features begin with


def refused(tried: str, helps: str, *, extra_bufts: bool) -> Refused:
    """What is known of the instruction; `extra_bufts`: whether extra buffers were on when it was refused."""
    return Refused(
        f"the processor refused an instruction: {suspects(build(), cpu.machine(), extra_bufts=extra_bufts)}",
        tried,
        helps,
    )


def suspects(build: Features, machine: Features, *, extra_bufts: bool) -> str:
    """The instruction sets that may be at fault, as a clause."""
    if build.unknown:
        return f"what this build of llama.cpp uses is not known ({build.unknown}); this machine has {machine}"
    if missing := build.without(machine):
        return f"this build of llama.cpp uses {', '.join(missing)}, which this machine does not report"
    amx = [name for name in build.names if name.startswith(AMX)]
    if amx and extra_bufts:
        return (
            f"this build of llama.cpp uses {', '.join(amx)} for weights in extra buffers, "
            "which is known to fail on some machines that report it"
        )
    if machine.unknown:
        return f"this build of llama.cpp uses {build}; what this machine has is not known ({machine.unknown})"
    return f"this build of llama.cpp uses {build}, all of which this machine reports"


def build() -> Features:
    """What the installed build of llama.cpp uses, asked in a process of its own: this may end it by SIGILL too."""
    return _build(records.fingerprint())


@functools.lru_cache(maxsize=1)
def _build(_fingerprint: str) -> Features:
    command = [sys.executable, "-P", "-m", "workbench.runtime.instructions"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            env=child_environment(),
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Features(unknown=f"it did not tell within {TIMEOUT_S:g} s")
    if done.returncode < 0:
        return Features(unknown=f"the process that asked for it was ended by {signal_name(-done.returncode)}")
    return cpu.of_build(done.stdout.decode("utf-8", "backslashreplace"))


def main() -> int:
    """The child: llama.cpp's own list on stdout."""
    from workbench.runtime.library import bindings

    try:
        library = bindings()
    except CannotRun as error:
        sys.stderr.write(f"{error}\n")
        return 2
    library.llama_backend_init()
    sys.stdout.write((library.llama_print_system_info() or b"").decode("utf-8", "backslashreplace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
