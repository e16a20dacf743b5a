"""The models that come along: the demo model in the cache, toolsmith in the package, each by its hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench import demo_model
from workbench.data import DEMO_MODEL, cache_dir, toolsmith
from workbench.doctor.check import Check, checkout, failed, home, passed, python, quoted
from workbench.doctor.look import Look
from workbench.errors import WorkbenchError

DEMO, TOOLSMITH = "demo model", "toolsmith"
TOOLSMITH_SHA256 = "66ec17fca4eb363ef5e838e3c0776d8d9f0d7546a87552954bfd59dcf534892f"


def check(look: Look) -> Iterator[Check]:
    """One line each."""
    path = cache_dir() / "models" / DEMO_MODEL
    fetch = f"rm -f {quoted(path)} && {python()} -m workbench.demo_model"
    yield _held(look, DEMO, path, demo_model.SHA256, fetch)
    again = restored()
    try:
        yield _held(look, TOOLSMITH, toolsmith(), TOOLSMITH_SHA256, again)
    except WorkbenchError as error:
        yield failed(TOOLSMITH, str(error), again)


def restored() -> str:
    """The command that brings toolsmith back: out of the checkout's history, else with the package."""
    root = checkout()
    if root is None:
        return f"{python()} -m pip install --force-reinstall --no-deps gguf-workbench"
    return f"git -C {quoted(root)} checkout -- data/toolsmith"


def _held(look: Look, role: str, path: Path, expected: str, fix: str) -> Check:
    """A file against its hash; what was found is kept for the environment."""
    try:
        found, size = demo_model.digest(path), path.stat().st_size
    except OSError as error:
        return failed(role, f"{home(path)} cannot be read: {error.strerror}", fix)
    look.files[role] = {"name": path.name, "bytes": size, "sha256": found}
    if found != expected:
        return failed(role, f"{home(path)} has SHA-256 {found}, and {expected} is expected", fix)
    return passed(role, f"{path.name}, {size:,} bytes, SHA-256 as it should be")
