"""What several checks look at, each part looked up once."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cached_property
from typing import Any

from workbench.doctor.installed import Found, Package, asked_for, first, packages
from workbench.errors import Cancelled
from workbench.progress import Cancel

PROBE_TIMEOUT_S = 60.0
POLL_S = 0.1


class Look:
    """The machine as one examination finds it.

    `fingerprints`, `files` and `engines` are filled by the checks that read the files and run the engines.
    """

    def __init__(self, cancel: Cancel | None = None) -> None:
        self.cancel = cancel or Cancel()
        self.fingerprints: dict[str, str] = {}  # by package: what its files really hold
        self.files: dict[str, dict[str, Any]] = {}  # by role: name, bytes, sha256
        self.engines: dict[str, str] = {}  # by name: version

    @cached_property
    def installed(self) -> Found:
        """Every distribution on `sys.path`, hidden and damaged ones too."""
        return packages()

    @property
    def packages(self) -> tuple[Package, ...]:
        """Those that can be read."""
        return self.installed.packages

    @cached_property
    def by_name(self) -> dict[str, Package]:
        """The distributions that count."""
        return first(self.packages)

    @cached_property
    def needed(self) -> frozenset[str]:
        """The names of those that the workbench asks for, directly or through others."""
        return frozenset(name for name, _ in asked_for(self.by_name))

    @cached_property
    def build(self) -> dict[str, Any]:
        """What the installed llama.cpp says of itself in a process of its own, or `{"error": words}`."""
        from workbench.runtime.process import child_environment, signal_name

        command = [sys.executable, "-P", "-m", "workbench.doctor.probe"]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
        ) as child:
            out, err = self._wait(child)
        if child.returncode < 0:
            return {"error": f"loading it was ended by {signal_name(-child.returncode)}"}
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            lines = err.decode("utf-8", "backslashreplace").strip().splitlines()
            return {"error": lines[-1] if lines else f"it ended with exit code {child.returncode}"}
        return answer

    def _wait(self, child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """What the child wrote; one that takes too long is killed. Errors: `Cancelled`."""
        try:
            for _ in range(round(PROBE_TIMEOUT_S / POLL_S)):
                try:
                    return child.communicate(timeout=POLL_S)
                except subprocess.TimeoutExpired:
                    if self.cancel.is_set():
                        raise Cancelled("the examination was stopped") from None
            child.kill()
            return child.communicate()
        except BaseException:
            child.kill()
            raise
