"""A llama-server of our own beside the file that it loads, from the package xllamacpp (extra `servers`).

Run as `python -m workbench.tokenizers.serve MODEL` it prints its address and stays until its input ends.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from workbench.engines.server_log import log_file, reason_of
from workbench.errors import Cancelled, CannotRun
from workbench.progress import Cancel

START_S = 120.0  # a large file takes its time
POLL_S = 0.05
_MOST_LOG = 1 << 20  # bytes of what a server wrote before it ended


@contextmanager
def llama_server(model: str | Path, *, cancel: Cancel | None = None) -> Iterator[str]:
    """The address of a llama-server with `model` on the loopback; it ends with the block, or with this process.

    Errors: `CannotRun` where it is not installed or does not start, `Cancelled`.
    """
    if find_spec("xllamacpp") is None:
        raise CannotRun("llama-server is not installed", "", "pip install 'gguf-workbench[servers]'")
    command = [sys.executable, "-m", __name__, str(model)]
    with (
        log_file() as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            address = _address(process.stdout, cancel)
            if address is None:
                process.kill()
                process.wait()
                log.seek(0)
                why = reason_of(log.read(_MOST_LOG).decode("utf-8", "replace")).words
                accepted = "accepted is a GGUF file that it loads"
                raise CannotRun(f"llama-server does not start with {model}: {why}", accepted, "")
            yield address
        finally:
            process.kill()


def _address(stdout: IO[bytes], cancel: Cancel | None) -> str | None:
    """The first line that is an address, None where none comes; whatever else C++ prints is skipped."""
    until, text = time.monotonic() + START_S, b""
    while time.monotonic() < until:
        if cancel is not None and cancel.is_set():
            raise Cancelled("starting llama-server was cancelled")
        if not select.select([stdout], [], [], POLL_S)[0]:
            continue
        data = os.read(stdout.fileno(), 4096)
        text += data
        lines = text.split(b"\n")
        found = next((line for line in lines[:-1] if line.startswith(b"http")), None)
        if found is not None:
            return found.strip().decode()
        if not data:
            break
    return None


def main(arguments: list[str]) -> int:
    """Serve until the input ends."""
    import xllamacpp

    from workbench.engines.llama_server_worker import parameters

    server = xllamacpp.Server(parameters("", arguments[0]))
    sys.stdout.write(f"\n{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
