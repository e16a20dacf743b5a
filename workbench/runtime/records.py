"""Small records about this build of llama.cpp on this machine, one file each in the cache.

A home folder that two machines share, or an environment whose build is replaced, gets files of its own. Needs the
standard library only, for set-up writes here too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from workbench import cpu
from workbench.data import cache_dir
from workbench.errors import CannotRun
from workbench.gguf.library import package_folders

PACKAGE = "llama-cpp-python"
LIBRARIES = (".so", ".dylib", ".dll")


def read(kind: str, package: Path | None = None) -> Any:
    """What is kept of `kind` for the build in `package` (llama_cpp's folder; None: the installed one); None: nothing.

    Nothing where no build is there, where nothing was kept, and where the file cannot be read.
    """
    folder = _folder(package)
    if folder is None:
        return None
    subject = _subject(folder)
    try:
        data = json.loads(_path(kind, subject).read_text("utf-8"))
        return data["facts"] if data["subject"] == subject else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write(kind: str, facts: Any, package: Path | None = None) -> bool:
    """Keep `facts` (plain JSON) in place of what was there; whether that worked."""
    folder = _folder(package)
    if folder is None:
        return False
    subject = _subject(folder)
    path = _path(kind, subject)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, json.dumps({"facts": facts, "subject": subject}, indent=1))
    except OSError:
        return False
    return True


def remove(kind: str, package: Path | None = None) -> None:
    """Keep nothing of `kind` any more."""
    folder = _folder(package)
    if folder is not None:
        with contextlib.suppress(OSError):
            _path(kind, _subject(folder)).unlink(missing_ok=True)


def fingerprint(package: Path | None = None) -> str:
    """A name for the build in `package` on this machine, for what is kept by both; "" where no build is there."""
    folder = _folder(package)
    return _key(_subject(folder)) if folder is not None else ""


def _put(path: Path, text: str) -> None:
    """Write aside, then rename: another process reads the old file or the new one, never a part."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
        aside = Path(file.name)
        try:
            file.write(text)
            file.close()
            aside.replace(path)
        except BaseException:  # an interrupt too: nothing half-written stays
            aside.unlink(missing_ok=True)
            raise


def _folder(package: Path | None) -> Path | None:
    if package is not None:
        return package
    try:
        return Path(package_folders()[0])
    except CannotRun:
        return None


def _path(kind: str, subject: dict[str, Any]) -> Path:
    return cache_dir() / kind / f"{_key(subject)}.json"


def _key(subject: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(subject, sort_keys=True).encode()).hexdigest()[:32]


def _subject(folder: Path) -> dict[str, Any]:
    """The build and the machine: the package's version, its shared libraries, the processor and what it can do."""
    return {
        "version": _version(folder),
        "libraries": _libraries(folder),
        "machine": platform.machine(),
        "cpu": cpu.cpu_name(),
        "features": list(cpu.machine().names),
    }


def _version(folder: Path) -> str | None:
    """The version that is installed around `folder`, by the name of its metadata's folder."""
    found = sorted(folder.parent.glob(f"{PACKAGE.replace('-', '_')}-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").rpartition("-")[2] if found else None


def _libraries(folder: Path) -> list[list[Any]]:
    """Name, bytes and time of change (ns) of each shared library; what they hold is not read."""
    found = []
    for path in sorted(folder.rglob("*")):
        if any(suffix in path.suffixes for suffix in LIBRARIES):
            with contextlib.suppress(OSError):  # a broken link, or a package that is being replaced
                state = path.stat()
                found.append([os.fspath(path.relative_to(folder)), state.st_size, state.st_mtime_ns])
    return found
