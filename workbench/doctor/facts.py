"""What an examination found of the machine, as the environment that two machines are compared by."""

from __future__ import annotations

import locale
import os
import platform
import time
from dataclasses import replace
from typing import Any

from workbench import cpu
from workbench.doctor.build import PACKAGE, flags
from workbench.doctor.look import Look
from workbench.engines.ollama_build import module_path
from workbench.environment import Environment, collect
from workbench.runtime import limits
from workbench.setup import default_threads
from workbench.values import FrozenJSON


def environment(look: Look) -> Environment:
    """Versions of all packages, the system, llama.cpp and its devices, fingerprints of files; no path and no address.

    What the checks did not come to look at is left out.
    """
    found = collect(runtime=_runtime(look), files=_files(look))
    system = found.system.value() | {
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpu_features": list(cpu.machine().names),
        "threads": default_threads(),
        "time_zone": time.tzname[0],
        "encoding": locale.getpreferredencoding(do_setlocale=False).lower(),
        "processors": os.cpu_count(),
    }
    versions = {name: package.version for name, package in sorted(look.by_name.items())}
    return replace(found, versions=FrozenJSON(versions), system=FrozenJSON(system))


def _runtime(look: Look) -> dict[str, Any]:
    if "build" not in look.__dict__ or "error" in look.build:  # not asked, or no answer
        return {}
    return {
        "library": look.build["library"],
        "build_flags": flags(look.by_name.get(PACKAGE)),
        "build_features": list(cpu.of_build(look.build["system_info"]).names),
        "devices": [
            {name: device[name] for name in ("name", "type", "description")} for device in look.build["devices"]
        ],
        "limits": limits.known().reason,
        "engines": dict(look.engines),
    }


def _files(look: Look) -> dict[str, Any]:
    found = dict(look.files)
    if module_path().is_file():
        found["ollama module"] = {"name": module_path().name}
    found |= {f"package {name}": {"fingerprint": mark} for name, mark in sorted(look.fingerprints.items())}
    return found
