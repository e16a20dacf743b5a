"""How a render request and its answer go through a pipe: frames, each with the number of its request."""

from __future__ import annotations

from io import FileIO
from typing import BinaryIO

Frame = tuple[int, bytes]  # the request's number (0: no request yet), what is sent
_HEAD = 16  # bytes: eight of length, eight of number, the highest first


def read_frame(stream: BinaryIO | FileIO) -> Frame | None:
    """The next frame, None at the end of the stream."""
    head = _exactly(stream, _HEAD)
    if head is None:
        return None
    data = _exactly(stream, int.from_bytes(head[:8], "big"))
    return None if data is None else (int.from_bytes(head[8:], "big"), data)


def write_frame(stream: BinaryIO, number: int, data: bytes) -> None:
    """Send one frame of the request `number`. Errors: `OSError` where nobody reads any more."""
    stream.write(len(data).to_bytes(8, "big") + number.to_bytes(8, "big"))
    stream.write(data)
    stream.flush()


def _exactly(stream: BinaryIO | FileIO, size: int) -> bytes | None:
    """`size` bytes, also from a stream without a buffer; None where it ends before."""
    first = stream.read(size) if size else b""
    if first is None or len(first) == size:
        return first
    parts, left = [first], size - len(first)
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return None if left else b"".join(parts)
