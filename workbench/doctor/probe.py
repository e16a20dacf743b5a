"""A process of its own that loads llama.cpp and says what it is: `python -m workbench.doctor.probe`, JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runtime.devices import read_devices
from workbench.runtime.library import bindings, ggml


def main() -> int:
    """The facts, or why there are none."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what llama.cpp prints is no line of ours
    try:
        answer = facts()
    except WorkbenchError as error:
        answer = {"error": str(error)}
    json.dump(answer, out)
    out.close()
    return 0


def facts() -> dict[str, Any]:
    """`{library, system_info, rpc, devices}`. Errors: `CannotRun` where llama.cpp does not load."""
    library = bindings()
    library.llama_backend_init()
    registry = ggml()  # loads the backends that are libraries of their own: only then they are told of
    version = library.llama_version() if hasattr(library, "llama_version") else b""
    return {
        "library": version.decode("utf-8", "backslashreplace") or None,
        "system_info": library.llama_print_system_info().decode("utf-8", "backslashreplace"),
        "rpc": bool(library.llama_supports_rpc()),
        **read_devices(registry).to_dict(),
    }


if __name__ == "__main__":
    sys.exit(main())
