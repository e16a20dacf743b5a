"""Which file it is: a fast fingerprint, and the full SHA-256."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import BinaryIO

from workbench.errors import Cancelled
from workbench.gguf.diagnose import require_file
from workbench.gguf.header import FileState, Header, file_state, read_header
from workbench.progress import Cancel, Progress

SAMPLE_BYTES = 1024  # at the start, the middle and the end of each tensor
CHUNK_BYTES = 4 << 20


def fingerprint(path: str | Path) -> str:
    """`sampled:` and a SHA-256 over the size, the whole header and samples of every tensor's bytes.

    Other metadata, another quantisation or another training always change it; a byte flipped between
    the samples does not. Errors: `BadFile`.
    """
    header = read_header(path)
    return _sampled(header, file_state(header.path))


@functools.lru_cache(maxsize=64)
def _sampled(header: Header, _state: FileState) -> str:
    """The fingerprint of a file in this state."""
    digest = hashlib.sha256(f"{header.file_size}\n".encode())
    with Path(header.path).open("rb") as file:
        _hash_range(file, 0, header.data_offset, digest)
        for start, size in _samples(header):
            file.seek(start)
            digest.update(file.read(size))
    return f"sampled:{digest.hexdigest()}"


def sha256(path: str | Path, *, progress: Progress | None = None, cancel: Cancel | None = None) -> str:
    """The SHA-256 of the whole file, as `sha256sum` prints it. Errors: `BadFile`, `Cancelled`."""
    path = Path(path).expanduser()
    require_file(path)
    size, done = path.stat().st_size, 0
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"hashing {path.name} was cancelled at {done:,} of {size:,} bytes")
            digest.update(chunk)
            done += len(chunk)
            if progress is not None and (done == size or done // CHUNK_BYTES % 16 == 0):
                progress(f"hashing {path.name}", done, size)
    return digest.hexdigest()


def _hash_range(file: BinaryIO, start: int, size: int, digest: hashlib._Hash) -> None:
    file.seek(start)
    while size > 0 and (chunk := file.read(min(size, CHUNK_BYTES))):
        digest.update(chunk)
        size -= len(chunk)


def _samples(header: Header) -> list[tuple[int, int]]:
    """Ranges (start, bytes) in the file, in the file's order."""
    ranges = []
    for tensor in header.tensors:
        start = header.data_offset + tensor.offset
        if tensor.nbytes <= 3 * SAMPLE_BYTES:
            ranges.append((start, tensor.nbytes))
            continue
        middle, last = (tensor.nbytes - SAMPLE_BYTES) // 2, tensor.nbytes - SAMPLE_BYTES
        ranges += [(start + at, SAMPLE_BYTES) for at in (0, middle, last)]
    return ranges
