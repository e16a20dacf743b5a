"""Memory, disk and the cache folder: whether the demo model has room, and whether files can be kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench.data import cache_dir, demo_model
from workbench.doctor.check import Check, failed, home, passed, unknown, warned
from workbench.doctor.look import Look
from workbench.errors import WorkbenchError
from workbench.runtime.memory import available, size
from workbench.runtime.memory_estimate import estimate
from workbench.setup import Setup

MEMORY, DISK, CACHE = "memory", "disk", "cache folder"
MIB = 2**20
PROCESS = 200 * MIB  # Python with llama.cpp, before a model
LEAST_DISK = 256 * MIB  # an altered copy of the demo model, a trace, what an engine writes
BUILD_DISK = 2048 * MIB  # what the first set-up takes
TRIED = 1 * MIB  # written to see whether a folder takes it
MAX_ENTRIES = 100_000  # files of the cache that are counted
ROOM = "free some space, or keep the cache elsewhere: export GGUF_WORKBENCH_CACHE=/a/folder/with/room"


def check(look: Look) -> Iterator[Check]:
    """One line each."""
    yield _memory(look)
    yield _disk()
    yield _cache()


def _memory(look: Look) -> Check:
    there, limit = available(), _shell_limit()
    left = [amount for amount in (there, limit) if amount is not None]
    if not left:
        return unknown(MEMORY, "this system does not tell what is free")
    free, fix = min(left), "end other programs, or take a smaller model"
    if free == limit:
        fix = "ulimit -v unlimited -d unlimited"
    try:
        path = demo_model()
    except WorkbenchError:
        return passed(MEMORY, f"{size(free)} free; what the demo model takes is not known without it")
    least = path.stat().st_size + PROCESS
    if free < least:
        return failed(MEMORY, f"{size(free)} free, and the demo model takes more than {size(least)}", fix)
    if "error" in look.build:
        return unknown(
            MEMORY, f"{size(free)} free; what the demo model takes is reckoned by llama.cpp, which does not load"
        )
    try:
        wanted = estimate(Setup(model=str(path)), cancel=look.cancel)
    except WorkbenchError as error:
        return unknown(MEMORY, f"{size(free)} free; what the demo model takes could not be reckoned: {error}")
    least = sum(part.estimated or 0 for part in wanted.parts) + PROCESS
    if wanted.refused or free < least:
        return failed(MEMORY, wanted.refused or f"{size(free)} free, and the demo model takes {size(least)}", fix)
    return passed(MEMORY, f"{size(free)} free; the demo model takes {size(least)}")


def _shell_limit() -> int | None:
    """Bytes that `ulimit` lets a process have, None where it sets no limit."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def _disk() -> Check:
    folder = existing(cache_dir())
    free = shutil.disk_usage(folder).free
    words = f"{size(free)} free where the cache lies ({home(folder)})"
    if free < LEAST_DISK:
        return failed(DISK, f"{words}; the workbench needs {size(LEAST_DISK)} to work in", ROOM)
    if free < BUILD_DISK:
        return warned(DISK, f"{words}; building llama.cpp anew needs {size(BUILD_DISK)}", ROOM)
    return passed(DISK, words)


def _cache() -> Check:
    folder = cache_dir()
    if why := refuses(existing(folder)) or (_no_folder(folder)):
        return failed(CACHE, f"nothing can be kept in {home(folder)}: {why}", ROOM)
    if not folder.is_dir():
        return passed(CACHE, f"{home(folder)} will be made when something is kept")
    parts = [f"{entry.name} {size(_bytes(entry))}" for entry in sorted(folder.iterdir())]
    return passed(CACHE, f"{home(folder)}: {', '.join(parts) or 'empty'}")


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def refuses(folder: Path) -> str | None:
    """Why a megabyte cannot be written to a folder, None where it can; nothing stays behind."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:  # buffered: writes all or raises
            file.write(bytes(TRIED))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _no_folder(folder: Path) -> str | None:
    return f"{home(existing(folder))} is no folder" if not existing(folder).is_dir() else None


def _bytes(path: Path) -> int:
    """What a file or folder takes."""
    total = 0
    for count, (root, _, names) in enumerate(os.walk(path)):
        if count > MAX_ENTRIES:
            break
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118  # a Path for each is slow
            except OSError:
                continue
    return total if path.is_dir() else path.stat().st_size
