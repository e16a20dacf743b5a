"""What llama.cpp computes on: its devices here, and its RPC server as a second one."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.doctor.build import PACKAGE
from workbench.doctor.check import Check, failed, listed, passed, python, unknown, warned
from workbench.doctor.look import Look
from workbench.errors import WorkbenchError
from workbench.runtime.devices import Devices, devices, free
from workbench.runtime.rpc import LOCAL

NAME, RPC = "devices", "RPC"
WITH_RPC = f"CMAKE_ARGS=-DGGML_RPC=ON {python()} -m pip install --force-reinstall --no-binary {PACKAGE} {PACKAGE}"


def check(look: Look) -> Iterator[Check]:
    """One line for the devices, one for RPC."""
    if "error" in look.build:
        yield unknown(NAME, "llama.cpp does not load")
        yield unknown(RPC, "llama.cpp does not load")
        return
    found = Devices.from_dict(look.build)
    if len(found):
        yield passed(NAME, "; ".join(f"{one.name}: {one.description}, {one.type}, {free(one)}" for one in found))
    else:
        yield failed(NAME, "llama.cpp sees no device, not even the processor", WITH_RPC)
    yield _rpc(look, len(found))


def _rpc(look: Look, before: int) -> Check:
    """Whether llama.cpp's own server starts here and is seen as one more device."""
    if not look.build["rpc"]:
        return warned(RPC, "this llama.cpp is built without it; all but remote devices works", WITH_RPC)
    try:
        seen = devices(LOCAL)
    except WorkbenchError as error:
        return failed(
            RPC, f"it is built in, and its server does not work here: {error}", f"leave {LOCAL} out of runtime.devices"
        )
    names = listed(device.name for device in list(seen)[before:])
    if len(seen) <= before:
        return failed(RPC, "its server starts, and llama.cpp sees no device more", WITH_RPC)
    return passed(RPC, f"built in; a server on this machine starts and is seen as {names}")
