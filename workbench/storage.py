"""A trace in a folder: `trace.json`, `arrays.npz` and `hashes.json`; written aside, then renamed."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from workbench import packed
from workbench.aside import locked, remove_abandoned, unfinished
from workbench.bounded import json_of, read_kept, require_few, require_size
from workbench.errors import BadFile, BadRequest, one_line
from workbench.nesting import write_json
from workbench.packed import Packed
from workbench.stages import Scores
from workbench.trace import Trace
from workbench.trace_schema import logits_in, wrong_trace
from workbench.values import clip

TRACE, ARRAYS, HASHES = "trace.json", "arrays.npz", "hashes.json"
MOST_BYTES = {HASHES: 1 << 16, TRACE: 256 << 20, ARRAYS: packed.MOST_BYTES}
MOST_SAID = 300  # characters of what is wrong with a file
# What reading, unpacking and building values of hostile content can end with.
UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    EOFError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
)


def check_folder(folder: Path) -> None:
    """Make `folder` where it is not there, and see that it can be written to. Errors: `BadFile`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        raise BadFile(
            f"the trace cannot be written to {folder}: {getattr(error, 'strerror', None) or error}",
            "accepted is a folder one may write to",
            "name another folder",
        ) from error


def save_trace(trace: Trace, folder: Path) -> Path:
    """Write `trace` to `folder` (made if needed; an earlier trace in it is replaced). Errors: `BadFile`."""
    files = {TRACE: _json(trace), ARRAYS: _arrays(trace)}
    _require_readable(files)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[HASHES] = json.dumps(hashes, indent=1).encode()
    check_folder(folder)
    remove_abandoned(folder)
    try:
        _put(files, folder)
    except OSError as error:
        raise BadFile(
            f"the trace cannot be written to {folder}: {error.strerror or error}",
            "accepted is a folder one may write to, on a disk with room",
            "free some space, or name another folder",
        ) from error
    return folder


def _put(files: dict[str, bytes], folder: Path) -> None:
    """Each file under its own name once all are whole: an earlier trace is not lost to a full disk.

    An interrupt between two renames waits, for the three belong together.
    """
    with ExitStack() as stack:
        asides = {name: stack.enter_context(unfinished(folder)) for name in files}
        for name, path in asides.items():
            path.write_bytes(files[name])
        stack.enter_context(locked(folder, "write"))
        try:
            for name, path in asides.items():
                path.replace(folder / name)
        except KeyboardInterrupt:
            for name, path in asides.items():
                if path.exists():
                    path.replace(folder / name)
            raise


def _require_readable(files: dict[str, bytes]) -> None:
    """Errors: `BadFile` for what `load_trace` would not read."""
    try:
        for name, content in files.items():
            require_size(len(content), MOST_BYTES[name])
        require_few(files[TRACE].decode("ascii"))
        Packed(files[ARRAYS])
    except ValueError as error:
        raise BadFile(
            f"the trace is too large to be read back: {error}",
            f"accepted are {MOST_BYTES[TRACE] >> 20:,} MiB of JSON and {packed.MOST_BYTES >> 20:,} MiB of arrays",
            "ask for the full logits of fewer positions, a smaller top_k or a smaller max_tokens",
        ) from error


def load_trace(folder: Path) -> Trace:
    """The trace in `folder`, checked against its hashes, sizes and shapes before a value is made of it.

    Errors: `BadFile` where it is none, was changed, or is larger than one that is saved.
    """
    with locked(folder, "read"):
        contents = {name: _read(folder, name) for name in (HASHES, TRACE, ARRAYS)}
    try:
        _check_hashes(folder, contents)
        return _restore(json_of(contents[TRACE]), contents[ARRAYS])
    except BadFile:
        raise
    except BadRequest as error:  # of the setup or the conversation in it
        raise _unreadable(folder, str(error)) from error
    except RecursionError as error:
        raise _unreadable(folder, "its values are nested too deeply") from error
    except UNREADABLE as error:
        raise _unreadable(folder, str(error) or type(error).__name__) from error


def _check_hashes(folder: Path, contents: dict[str, bytes]) -> None:
    hashes = json_of(contents[HASHES])
    for name in (TRACE, ARRAYS):
        if hashlib.sha256(contents[name]).hexdigest() != hashes[name]:
            raise BadFile(
                f"{folder / name} is not what was saved (its SHA-256 differs)",
                "accepted is an unchanged trace",
                "save the trace again",
            )


def _unreadable(folder: Path, why: str) -> BadFile:
    return BadFile(
        f"{folder} holds no readable trace: {clip(one_line(why), MOST_SAID)}",
        "accepted is a folder written by save()",
        "save the trace again",
    )


def _json(trace: Trace) -> bytes:
    data = trace.to_dict()
    data["scores"] = {"arrays": ARRAYS} if trace.scores is not None else None
    return write_json(_spelled(data), ensure_ascii=True, allow_nan=False).encode()


def _arrays(trace: Trace) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {}
    if trace.scores is not None:
        arrays = {name: getattr(trace.scores, name) for name in Scores.ARRAYS}
        arrays |= {f"logits_{position}": row for position, row in trace.scores.logits}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _restore(data: Any, arrays: bytes) -> Trace:
    """Errors: `ValueError` and what else hostile content gives; `WorkbenchError`."""
    packed = Packed(arrays)
    if wrong := wrong_trace(data, packed.shaped):
        raise ValueError(wrong)
    has_scores = data.pop("scores", None) is not None
    trace = Trace.from_dict(data)
    read = packed.read(packed.shaped)
    if not has_scores:
        return trace
    logits = tuple((position, read[name]) for name, position in logits_in(packed.shaped))
    scores = Scores(**{name: read[name] for name in Scores.ARRAYS}, logits=logits)
    object.__setattr__(trace, "scores", scores)
    return trace


def _read(folder: Path, name: str) -> bytes:
    try:
        return read_kept(folder / name, MOST_BYTES[name])
    except (OSError, ValueError) as error:
        raise BadFile(
            f"{folder} holds no saved trace: {name} cannot be read ({getattr(error, 'strerror', None) or error})",
            "accepted is a folder written by save()",
        ) from error


def _spelled(value: Any) -> Any:
    """`value` with NaN and infinities spelled out as texts, which `float()` reads back."""
    top = [value]
    todo: list[Any] = [top]
    while todo:
        holder = todo.pop()
        for key, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(item, float) and not math.isfinite(item):
                holder[key] = repr(item)
            elif isinstance(item, dict | list | tuple):
                holder[key] = dict(item) if isinstance(item, dict) else list(item)
                todo.append(holder[key])
    return top[0]
