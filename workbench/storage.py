"""A trace in a folder: `trace.json`, `arrays.npz` and `hashes.json`; written aside, then renamed."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadFile, WorkbenchError
from workbench.stages import Scores
from workbench.trace import Trace

TRACE, ARRAYS, HASHES = "trace.json", "arrays.npz", "hashes.json"


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
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[HASHES] = json.dumps(hashes, indent=1).encode()
    check_folder(folder)
    asides = {name: folder / f".{name}.{os.getpid()}-{threading.get_ident()}" for name in files}
    try:
        for name, content in files.items():
            asides[name].write_bytes(content)
        _put(asides, folder)  # all are whole: an earlier trace is not lost to a full disk
    except OSError as error:
        raise BadFile(
            f"the trace cannot be written to {folder}: {error.strerror or error}",
            "accepted is a folder one may write to, on a disk with room",
            "free some space, or name another folder",
        ) from error
    finally:  # an interrupt too
        for aside in asides.values():
            aside.unlink(missing_ok=True)
    return folder


def _put(asides: dict[str, Path], folder: Path) -> None:
    """Each file under its own name; an interrupt in between waits, for the three belong together."""
    try:
        for name, aside in asides.items():
            aside.replace(folder / name)
    except KeyboardInterrupt:
        for name, aside in asides.items():
            if aside.exists():
                aside.replace(folder / name)
        raise


def load_trace(folder: Path) -> Trace:
    """The trace in `folder`, checked against its hashes. Errors: `BadFile` where it is none or was changed."""
    contents = {name: _read(folder, name) for name in (HASHES, TRACE, ARRAYS)}
    try:
        hashes = json.loads(contents[HASHES])
        for name in (TRACE, ARRAYS):
            if hashlib.sha256(contents[name]).hexdigest() != hashes[name]:
                raise BadFile(
                    f"{folder / name} is not what was saved (its SHA-256 differs)",
                    "accepted is an unchanged trace",
                    "save the trace again",
                )
        return _restore(json.loads(contents[TRACE]), contents[ARRAYS])
    except WorkbenchError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise BadFile(
            f"{folder} holds no readable trace ({type(error).__name__}: {error})",
            "accepted is a folder written by save()",
        ) from error


def _json(trace: Trace) -> bytes:
    data = trace.to_dict()
    data["scores"] = {"arrays": ARRAYS} if trace.scores is not None else None
    return json.dumps(_spelled(data), ensure_ascii=True, allow_nan=False).encode()


def _arrays(trace: Trace) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {}
    if trace.scores is not None:
        arrays = {name: getattr(trace.scores, name) for name in Scores.ARRAYS}
        arrays |= {f"logits_{position}": row for position, row in trace.scores.logits}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _restore(data: dict[str, Any], arrays: bytes) -> Trace:
    scores = None
    if data.pop("scores", None) is not None:
        with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
            logits = tuple(
                (int(name.removeprefix("logits_")), stored[name]) for name in stored if name.startswith("logits_")
            )
            scores = Scores(**{name: stored[name] for name in Scores.ARRAYS}, logits=logits)
    trace = Trace.from_dict(data)
    object.__setattr__(trace, "scores", scores)
    return trace


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BadFile(
            f"{folder} holds no saved trace: {name} cannot be read ({error.strerror})",
            "accepted is a folder written by save()",
        ) from error


def _spelled(value: Any) -> Any:
    """`value` with NaN and infinities spelled out as texts, which `float()` reads back."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return value
