"""Frames between the kernel and a model's process: a JSON header and any number of binary buffers.

A frame is `<I json bytes> <I buffers> <Q length of each buffer> json buffers`, little-endian. Arrays
travel as buffers, so infinities and NaN survive; texts travel as ASCII JSON, so lone surrogates do.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import Any, BinaryIO, NamedTuple

import numpy as np

HEAD = struct.Struct("<II")
MAX_JSON = 1 << 30  # bytes; more is a broken stream, not a message
MAX_BUFFERS = 1 << 12


class Frame(NamedTuple):
    """One message: `header` is plain JSON, `buffers` its binary parts in order."""

    header: dict[str, Any]
    buffers: list[bytes]


def write_frame(stream: BinaryIO, lock: threading.Lock, header: dict[str, Any], buffers: list[bytes]) -> None:
    """Send one frame whole, whatever other threads send. Errors: `OSError` where the other side is gone."""
    text = json.dumps(header).encode("ascii")
    lengths = struct.pack(f"<{len(buffers)}Q", *map(len, buffers))
    with lock:
        stream.write(b"".join([HEAD.pack(len(text), len(buffers)), lengths, text, *buffers]))
        stream.flush()


def read_frame(stream: BinaryIO) -> Frame:
    """The next frame. Errors: `EOFError` where the other side is gone or sent no frame."""
    n_text, n_buffers = HEAD.unpack(_exactly(stream, HEAD.size))
    if n_text > MAX_JSON or n_buffers > MAX_BUFFERS:
        raise EOFError("the stream holds something that is no frame")
    lengths = struct.unpack(f"<{n_buffers}Q", _exactly(stream, 8 * n_buffers))
    header = json.loads(_exactly(stream, n_text))
    return Frame(header, [_exactly(stream, length) for length in lengths])


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if data is None or len(data) < size:
        raise EOFError("the other side closed the stream")
    return data


def pack_arrays(arrays: dict[str, np.ndarray[Any, Any]]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Arrays as (their names, types and shapes for the header, their bytes)."""
    table = [{"name": name, "dtype": a.dtype.str, "shape": list(a.shape)} for name, a in arrays.items()]
    return table, [np.ascontiguousarray(a).tobytes() for a in arrays.values()]


def unpack_arrays(table: list[dict[str, Any]], buffers: list[bytes]) -> dict[str, np.ndarray[Any, Any]]:
    """The inverse of `pack_arrays`; the arrays are read-only views of the buffers."""
    return {
        item["name"]: np.frombuffer(buffer, dtype=item["dtype"]).reshape(item["shape"])
        for item, buffer in zip(table, buffers, strict=True)
    }
