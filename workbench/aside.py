"""Files that are written aside and renamed, and folders for one work: what a killed process left is removed later.

Each is named by its owner: the machine since it was started, with its own view of processes, and the process. What
belongs to a process that is gone is nobody's; of another machine's only the age tells.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

ABANDONED_S = 24 * 3600.0  # of another machine: so old, it has no writer any more
PREFIX = "gguf-workbench"  # of folders in the system's own place for temporary ones
NAME = re.compile(rf"\.?(?:{PREFIX}-)?(?P<machine>[0-9a-f]{{8}})-(?P<pid>\d{{1,10}})-\d+(?:-\w+)?(?P<part>\.part)?")
_numbers = itertools.count(1)


@contextlib.contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to: renamed to it at the block's end, removed where that ends with an error.

    Errors: `OSError` where it cannot be renamed.
    """
    with unfinished(target.parent) as path:
        yield path
        path.replace(target)


@contextlib.contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A path in `folder` to write to, and to rename while the block lasts; what is there at its end is removed."""
    path = folder / f".{_own_name()}.part"
    try:
        yield path
    finally:  # an interrupt too
        with contextlib.suppress(OSError):  # the first error is the one to tell
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, to: Literal["read", "write"]) -> Iterator[None]:
    """Nobody else writes files that belong together in `folder` meanwhile, where the system can see to it."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):  # Windows; no such folder, or a file system without locks
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH if to == "read" else fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, gone when the block ends; in the system's place for temporary ones, or in `parent`.

    Errors: `OSError` where none can be made.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_abandoned(place)
    prefix = f"{PREFIX}-{_own_name()}-" if parent is None else f".{_own_name()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        yield Path(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove what processes that are gone began to write in `folder`, or made there for one work."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # a folder that is not there holds nothing
        for entry in entries:
            found = NAME.fullmatch(entry.name)
            if found is None or not (found["part"] or entry.is_dir(follow_symlinks=False)):
                continue
            with contextlib.suppress(OSError):  # another process removed it, or it is another user's
                if _is_abandoned(found["machine"], int(found["pid"]), entry.stat(follow_symlinks=False).st_mtime):
                    _remove(Path(entry.path))


def _own_name() -> str:
    return f"{_machine()}-{os.getpid()}-{next(_numbers)}"


def _is_abandoned(machine: str, pid: int, changed: float) -> bool:
    if machine != _machine() or os.name == "nt":  # Windows has no signal that only asks
        return time.time() - changed > ABANDONED_S
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@functools.cache
def _machine() -> str:
    """Eight digits: the machine since it was started, and the view of processes that this one has (a container's)."""
    facts = [platform.node()]
    with contextlib.suppress(OSError):  # of Linux
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
