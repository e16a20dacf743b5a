"""What an examination found of the machine, as the environment that two machines are compared by."""

from __future__ import annotations

import hashlib
import locale
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import cpu
from workbench.doctor.build import PACKAGE, flags
from workbench.doctor.installed import OWN
from workbench.doctor.look import Look
from workbench.engines.ollama_build import module_path
from workbench.environment import Environment, collect
from workbench.runtime import limits
from workbench.values import FrozenJSON

SHIPPED = "shipped"  # data that only a wheel carries inside the package


def environment(look: Look) -> Environment:
    """Versions of all packages, the system, llama.cpp and its devices, fingerprints of files; no path and no address.

    What the checks did not come to look at is left out.
    """
    found = collect(runtime=_runtime(look), files=_files(look))
    system = found.system.value() | {
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpu_features": list(cpu.machine().names),
        "processors": _processors(),
        "time_zone": time.tzname[0],
        "encoding": locale.getpreferredencoding(do_setlocale=False).lower(),
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
    marks = look.fingerprints | {OWN: code_fingerprint(Path(__file__).parents[1])}
    found |= {f"package {name}": {"fingerprint": mark} for name, mark in sorted(marks.items())}
    return found


def code_fingerprint(package: Path) -> str:
    """A hash of the workbench's own files: of the code that runs, whether it is a checkout or was installed."""
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package)
        if path.is_file() and not {"__pycache__", SHIPPED} & set(name.parts):
            whole.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _processors() -> int | None:
    """How many of them this process may use: llama.cpp's threads by default."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
