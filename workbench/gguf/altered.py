"""An altered copy of a GGUF file in the cache, for metadata that llama.cpp does not take as an override.

The user's file is only read. A copy is named by the file's fingerprint and the changes, so it is made
once; it is written aside and renamed, so a copy that is there is whole. Those used last are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from workbench.aside import aside, remove_abandoned
from workbench.data import cache_dir
from workbench.errors import BadFile, Cancelled, CannotRun
from workbench.gguf.fingerprint import fingerprint
from workbench.gguf.header import Header, file_state, is_whole, read_header, require_unchanged
from workbench.gguf.library import shared_library
from workbench.progress import Cancel, Progress

WRITER = Path(__file__).with_name("writer.py")
ALTERED = "altered"  # the folder in the cache
CHUNK_BYTES = 64 << 20
SPARE_BYTES = 256 << 20  # left free on the disk
TIMEOUT_S = 300.0
KEPT_COPIES = 16  # a setup has up to two: with its weights, and its vocabulary alone
KEPT_BYTES = 4 << 30
FRESH_S = 60.0  # a copy used so recently may be about to be opened


def altered_copy(
    header: Header,
    changes: dict[str, Any],
    *,
    tensors: bool = True,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Path:
    """The path of a copy with `changes` (None removes a key); without tensors it is a vocabulary alone.

    Errors: `CannotRun` where the disk is full or the file is one of several parts, `BadFile` where it is no longer
    the one that `header` was read from, or was changed while it was copied, `Cancelled`.
    """
    _require_whole(header)
    order = {"changes": {key: _typed(header, key, value) for key, value in changes.items()}, "tensors": tensors}
    text = json.dumps(order, sort_keys=True)
    name = hashlib.sha256(f"{fingerprint(header.path)}\n{text}".encode()).hexdigest()[:32]
    target = cache_dir() / ALTERED / f"{name}.gguf"
    if not is_whole(target):
        try:
            _make(header, text, target, tensors, progress, cancel)
        except OSError as error:
            raise CannotRun(
                f"no altered copy of {header.path} could be written to {target.parent}: {error.strerror or error}",
                "",
                "free some space, or set GGUF_WORKBENCH_CACHE to a folder on a larger disk",
            ) from error
        _remove_old(target)
    _note_use(target)
    return target


def why_no_copy(header: Header, *, tensors: bool = False) -> str:
    """Why no copy of this file can be made here and now, in words; empty where one can."""
    try:
        _require_whole(header)
        _require_room(header, cache_dir() / ALTERED, header.file_size if tensors else header.data_offset)
    except CannotRun as error:
        return str(error)
    return ""


def _require_whole(header: Header) -> None:
    if header.get("split.count", 0) not in (0, 1):
        raise CannotRun(
            f"{header.path} is one part of {header.get('split.count')}",
            "these metadata need an altered copy, which is made of whole files",
            "join the parts with llama-gguf-split --merge",
        )


def _require_room(header: Header, folder: Path, size: int) -> None:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if size + SPARE_BYTES > free:
        raise CannotRun(
            f"an altered copy of {header.path} needs {size:,} bytes and {folder} has {free:,} free",
            "the setup's metadata cannot be given to llama.cpp without a copy",
            "free some space, or set GGUF_WORKBENCH_CACHE to a folder on a larger disk",
        )


def _note_use(path: Path) -> None:
    """The access time says when a copy was used last; reading alone does not always set it."""
    with contextlib.suppress(OSError):  # another process removed it: opening it says so
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _remove_old(newest: Path) -> None:
    """Keep the copies used last, at most `KEPT_COPIES` and `KEPT_BYTES`; `newest` and fresh ones stay.

    A process that has a removed copy mapped keeps its bytes until it ends.
    """
    now, copies, total = time.time(), 0, 0
    for used, path, size in sorted(_copies(newest.parent), reverse=True):
        copies, total = copies + 1, total + size
        within = copies <= KEPT_COPIES and total <= KEPT_BYTES
        if not (within or path == newest or now - used < FRESH_S):
            with contextlib.suppress(OSError):  # gone already, or in use on a system that forbids it
                path.unlink()


def _copies(folder: Path) -> list[tuple[float, Path, int]]:
    """When each copy here was used last, its path and its size in bytes."""
    found = []
    for path in folder.glob("*.gguf"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append((max(stat.st_atime, stat.st_mtime), path, stat.st_size))
    return found


def _make(
    header: Header, order: str, target: Path, tensors: bool, progress: Progress | None, cancel: Cancel | None
) -> None:
    size = header.file_size if tensors else header.data_offset
    before = file_state(header.path)
    if read_header(header.path) != header:
        raise BadFile(f"{header.path} was changed since its header was read", "", "try it again")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent)
    _require_room(header, target.parent, size)
    with aside(target) as part:
        _write_header(header, order, part)
        if tensors:
            with Path(header.path).open("rb") as source, part.open("r+b") as copy:
                copy.seek(0, os.SEEK_END)
                _append(source, copy, header, progress, cancel)
        require_unchanged(header.path, before, "an altered copy was made")


def _write_header(header: Header, order: str, part: Path) -> None:
    command = [sys.executable, "-I", "-S", str(WRITER), str(shared_library("ggml-base")), header.path, str(part)]
    done = subprocess.run(command, input=order.encode(), capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise CannotRun(f"no altered copy of {header.path} could be written: {said[-1] if said else 'no reason given'}")


def _append(source: BinaryIO, copy: BinaryIO, header: Header, progress: Progress | None, cancel: Cancel | None) -> None:
    """The tensors' bytes, behind the header; shared on file systems that can, else copied by the system."""
    copy.flush()
    at, to, done = header.data_offset, copy.tell(), 0
    total = header.file_size - header.data_offset
    while done < total:
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"copying {Path(header.path).name} was cancelled")
        if not (n := _copy(source, copy, min(CHUNK_BYTES, total - done), at + done, to + done)):
            raise BadFile(f"{header.path} was cut off while it was copied", "", "try it again")
        done += n
        if progress is not None:
            progress("making an altered copy", done, total)


def _copy(source: BinaryIO, copy: BinaryIO, size: int, at: int, to: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            n = os.copy_file_range(source.fileno(), copy.fileno(), size, at, to)
            if n > 0:
                return n
        except OSError:
            pass  # not between these file systems: read and write below
    source.seek(at)
    copy.seek(to)
    data = source.read(size)
    copy.write(data)
    copy.flush()
    return len(data)


def _typed(header: Header, key: str, value: Any) -> dict[str, Any] | None:
    """A change with its GGUF type: the file's own where the value fits it, else the value's natural one."""
    if value is None:
        return None
    known = header.types.value().get(key, "")
    is_array = isinstance(value, list)
    items = value if is_array else [value]
    own = known.removeprefix("ARRAY[").rstrip("]")
    kind = own if items and all(_holds(own, item) for item in items) else _natural(items, own, is_array=is_array)
    if kind in ("FLOAT32", "FLOAT64"):
        items = [float(item) for item in items]
    return {"type": kind, "array": is_array, "value": items if is_array else items[0]}


def _holds(kind: str, item: Any) -> bool:
    if isinstance(item, bool):
        return kind == "BOOL"
    if isinstance(item, str):
        return kind == "STRING"
    if isinstance(item, float):
        return kind.startswith("FLOAT")
    if kind.startswith("FLOAT"):
        return True
    signed, bits = kind.startswith("INT"), kind.lstrip("UINT")
    if not bits.isdigit():
        return False
    low, high = (-(2 ** (int(bits) - 1)), 2 ** (int(bits) - 1)) if signed else (0, 2 ** int(bits))
    return bool(low <= item < high)


def _natural(items: list[Any], own: str, *, is_array: bool) -> str:
    if not items:
        return own or "STRING"
    whole = ("INT32", "UINT32") if is_array else ("UINT32", "INT32")  # what llama.cpp expects of each
    for kind in ("BOOL", "STRING", *whole, "UINT64", "INT64", "FLOAT32"):
        if all(_holds(kind, item) for item in items):
            return kind
    return "STRING"
