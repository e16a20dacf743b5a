"""llama.cpp's RPC devices: its own server on loopback as a second device, or a server elsewhere by its address.

A setup names them in `runtime.devices`: `rpc:local` starts a server for this model alone (each time it is
named, one more), `HOST:PORT` is an `rpc-server` that the user runs. Nothing listens and nothing is spoken to
that was not named. The protocol knows no password: other users of this machine can speak to a server on
loopback too. A server serves one process at a time, and lets the next one wait. When a server goes away,
llama.cpp ends the process that uses it: that is the model's process, and the kernel hears of it as `HostDied`.

Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-rpc/ggml-rpc.cpp
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from workbench.errors import Cancelled, CannotRun
from workbench.gguf.library import shared_library
from workbench.runtime.library import ggml

LOCAL = "rpc:local"
LOOPBACK = "127.0.0.1"
ADDRESS = re.compile(r"([^\s:/\[\]]+):(\d{1,5})")
START_WAIT_S = 20.0
ANSWER_WAIT_S = 3.0
POLL_S = 0.02
HELLO = bytes([14]) + (24).to_bytes(8, "little") + bytes(24)  # how a client without special abilities begins
ATTEMPTS = 3  # ports: between finding a free one and listening on it somebody else may take it


def is_server(name: str) -> bool:
    """Whether this entry of `runtime.devices` is an RPC server and not a device's own name."""
    return name == LOCAL or ADDRESS.fullmatch(name) is not None


def is_here(address: str) -> bool:
    """Whether a server at this address uses the memory of this machine."""
    host = address.rpartition(":")[0]
    return host == "localhost" or host.startswith("127.")


class Servers:
    """In the model's process: the RPC servers that a setup names, each started and registered once."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry  # the library ggml
        self._devices: dict[tuple[str, int], list[str]] = {}  # by entry and how often it stood there before
        self._children: list[subprocess.Popen[bytes]] = []

    def resolve(
        self, names: Sequence[str], *, n_threads: int, stopped: Callable[[], bool] = lambda: False
    ) -> list[str]:
        """`names` with every server replaced by the names of its devices, such as `RPC0`.

        Errors: `CannotRun` where a server does not start or answer, or this llama.cpp has no RPC; `Cancelled`.
        """
        found: list[str] = []
        for at, name in enumerate(names):
            if not is_server(name):
                found.append(name)
                continue
            entry = (name, list(names[:at]).count(name))
            if entry not in self._devices:
                address = self._start(n_threads, stopped) if name == LOCAL else _answering(name)
                self._devices[entry] = self._register(address)
            found += self._devices[entry]
        return found

    def _register(self, address: str) -> list[str]:
        from workbench.runtime.params import list_devices

        add = _library().ggml_backend_rpc_add_server
        add.restype, add.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        before = {device.name for device in list_devices(self._registry)}
        server = add(address.encode())
        if not server:
            raise CannotRun(f"the RPC server at {address} has no device", "accepted is a server with at least one")
        self._registry.ggml_backend_register(ctypes.c_void_p(server))
        return [device.name for device in list_devices(self._registry) if device.name not in before]

    def _start(self, n_threads: int, stopped: Callable[[], bool]) -> str:
        """The address of a new server on loopback, which ends with this process."""
        from workbench.runtime.process import child_environment

        _library()
        for _ in range(ATTEMPTS):
            address = f"{LOOPBACK}:{_free_port()}"
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "workbench.runtime.rpc", address, str(n_threads)],
                stdin=subprocess.PIPE,  # closed when this process ends, however it ends: that ends the server
                stdout=2,  # its lines belong into the log
                env=child_environment(),
            )
            if _listens(child, address, stopped):
                self._children.append(child)
                return address
        raise CannotRun(
            f"llama.cpp's RPC server did not start on {LOOPBACK} in {ATTEMPTS} attempts",
            "its reason stands in the log",
            f"leave {LOCAL} out of runtime.devices",
        )


def _listens(child: subprocess.Popen[bytes], address: str, stopped: Callable[[], bool]) -> bool:
    """Whether the server came up; one that did not has ended. Errors: `Cancelled`."""
    end = time.monotonic() + START_WAIT_S
    while child.poll() is None and time.monotonic() < end and not stopped():
        if _reachable(address, POLL_S) is None:
            time.sleep(POLL_S)  # one that found the port taken has ended by now
            if child.poll() is None:
                return True
        time.sleep(POLL_S)
    child.kill()
    child.wait()
    if stopped():
        raise Cancelled("starting the RPC server was stopped")
    return False


def _answering(address: str) -> str:
    """`address`, where something listens there and has time for us. Errors: `CannotRun`."""
    if (why := _reachable(address, ANSWER_WAIT_S, answers=True)) is not None:
        raise CannotRun(
            f"no RPC server answers at {address}: {why}",
            "accepted is the address of a running rpc-server of the same llama.cpp version",
            "start it, or remove it from runtime.devices",
        )
    return address


def _reachable(address: str, timeout_s: float, *, answers: bool = False) -> str | None:
    """None where something listens (and, with `answers`, says something or hangs up when greeted), else why not."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            if answers:
                connection.sendall(HELLO)
                return _silent(connection, timeout_s)
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def _silent(connection: socket.socket, timeout_s: float) -> str | None:
    """Why nothing came, None where something did or the other side hung up: llama.cpp then says what is wrong."""
    try:
        connection.recv(1)
    except TimeoutError:
        return (
            f"it takes the connection and says nothing for {timeout_s:g} s; a server serves one process at a time, "
            "and another one may have it"
        )
    except OSError:
        pass
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _library() -> ctypes.CDLL:
    """libggml-rpc. Errors: `CannotRun` where this llama.cpp was built without it."""
    try:
        return ctypes.CDLL(str(shared_library("ggml-rpc")))
    except CannotRun as error:
        raise CannotRun(
            "this llama-cpp-python was built without llama.cpp's RPC backend",
            "an RPC device needs it",
            'reinstall it with CMAKE_ARGS="-DGGML_RPC=ON" pip install --no-binary llama-cpp-python llama-cpp-python',
        ) from error


def main(address: str, n_threads: int) -> int:
    """The server's process: this machine's CPU at `address`, until stdin ends."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    registry = ggml()
    registry.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    cpu = registry.ggml_backend_dev_by_type(0)
    start = _library().ggml_backend_rpc_start_server
    start.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
    start.restype = None
    start(address.encode(), None, n_threads, 1, (ctypes.c_void_p * 1)(cpu))
    return 1  # it returns only where it could not listen


def _end_with_owner() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
