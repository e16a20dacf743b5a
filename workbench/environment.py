"""What a trace ran on: versions, build flags, devices, CPU and the files' identities, as one value."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from workbench import cpu
from workbench.values import FrozenJSON, Value

PACKAGES = ("gguf-workbench", "llama-cpp-python", "jinja2", "numpy", "transformers")


@dataclass(frozen=True)
class Environment(Value):
    """Facts about the stack, all JSON: `versions` by package, `system`, `runtime` (what llama.cpp reported), `files`.

    `files` has for each role ("model", "template") name, size in bytes and fingerprint; never a path.
    `runtime` is empty where no weights were loaded.
    """

    versions: FrozenJSON
    system: FrozenJSON
    runtime: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    files: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))

    def to_dict(self) -> dict[str, Any]:
        """`{versions, system, runtime, files}`."""
        return {
            "versions": self.versions.value(),
            "system": self.system.value(),
            "runtime": self.runtime.value(),
            "files": self.files.value(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Environment:
        """The inverse of `to_dict`."""
        return cls(**{name: FrozenJSON(data.get(name, {})) for name in ("versions", "system", "runtime", "files")})

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"part": part, "name": name, "value": value}
            for part, facts in self.to_dict().items()
            for name, value in facts.items()
        ]

    def __repr__(self) -> str:
        versions = self.versions.value()
        shown = ", ".join(f"{name} {versions[name]}" for name in ("llama-cpp-python", "jinja2") if name in versions)
        return f"Environment({shown}, {self.system.value().get('os', '')})"


def collect(*, runtime: Mapping[str, Any] | None = None, files: Mapping[str, Any] | None = None) -> Environment:
    """The environment of this process; `runtime` and `files` are what a host and the headers reported."""
    machine = cpu.machine()
    return Environment(
        versions=FrozenJSON(dict(versions())),
        system=FrozenJSON(
            {
                "os": platform.platform(terse=True),
                "machine": platform.machine(),
                "cpu": cpu.cpu_name(),
                "cpu_features": list(machine.names) or str(machine),
                "python": sys.version.split()[0],
            }
        ),
        runtime=FrozenJSON(dict(runtime or {})),
        files=FrozenJSON(dict(files or {})),
    )


@functools.cache
def versions() -> dict[str, str]:
    """The installed version of each package that decides what a trace shows; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
