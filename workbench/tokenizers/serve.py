"""A llama-server of our own beside the file that it loads, from the package xllamacpp (extra `servers`).

Run as `python -m workbench.tokenizers.serve MODEL` it prints its address and its key, and stays until its input ends.
The key goes through the pipe alone: command lines can be read by everybody on the machine.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
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
OWNER_S = 1.0  # how often a server looks whether its owner is still there
_KEYS: dict[str, str] = {}  # of the servers that run, by address


def key_of(address: str) -> str | None:
    """The key of a server that `llama_server` started and that still runs, None for any other."""
    return _KEYS.get(address)


@contextmanager
def llama_server(model: str | Path, *, cancel: Cancel | None = None) -> Iterator[str]:
    """The address of a llama-server with `model` on the loopback; it ends with the block, or with this process.

    It answers only who brings the key that `key_of` tells, which a tokenizer of that address does by itself.
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
        address = ""
        try:
            assert process.stdout is not None
            found = _address(process.stdout, cancel)
            if found is None:
                process.kill()
                process.wait()
                log.seek(0)
                why = reason_of(log.read(_MOST_LOG).decode("utf-8", "replace")).words
                accepted = "accepted is a GGUF file that it loads"
                raise CannotRun(f"llama-server does not start with {model}: {why}", accepted, "")
            address, _KEYS[found[0]] = found
            yield address
        finally:
            process.kill()
            _KEYS.pop(address, None)


def _address(stdout: IO[bytes], cancel: Cancel | None) -> tuple[str, str] | None:
    """Address and key, in the first line that begins with an address, None where none comes.

    Whatever else C++ prints is skipped.
    """
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
            address, key = found.decode().split()
            return address, key
        if not data:
            break
    return None


def main(arguments: list[str]) -> int:
    """Serve until the input ends, or the process that started this one is gone."""
    threading.Thread(target=_end_with_owner, args=(os.getppid(),), daemon=True).start()
    import xllamacpp

    from workbench.engines.llama_server_worker import new_key, parameters

    key = new_key()
    server = xllamacpp.Server(parameters("", arguments[0], key))
    sys.stdout.write(f"\n{server.listening_address} {key}\n")
    sys.stdout.flush()
    threading.Event().wait()
    return 0


def _end_with_owner(owner: int) -> None:
    """The end of the input alone is not enough: a fork of the owner holds the other end of the pipe open."""
    while os.getppid() == owner:
        if select.select([sys.stdin], [], [], OWNER_S)[0] and not os.read(sys.stdin.fileno(), 4096):
            break
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
