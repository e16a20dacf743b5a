"""Arrays that are read back from a file: what it announces is held against what is wanted before any is unpacked.

numpy's own reader makes an array as large as a header says, and unpacks whatever a zip file holds; here a header is
plain text that must name the type, and the bytes behind it must be as many as type and shape need.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

MOST_BYTES = 1 << 30  # of all arrays together, packed and unpacked
MOST_DIRECTORY = 16 << 20  # bytes of a zip file's table of contents: some 200,000 arrays
MOST_HEADER = 1024  # bytes of an array's header; numpy writes some 100
END = 22  # bytes of a zip file's end, without a comment
HEADER = re.compile(rb"\{'descr': '(<[fi]4)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
Array = np.ndarray[Any, Any]


class Damaged(ValueError):
    """What is wrong with the file: the end of a sentence."""


class Shaped(NamedTuple):
    """The type and shape that an array has, or must have."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(file: IO[bytes], size: int, wanted: Shaped) -> Array:
    """The array of an .npy file of `size` bytes. Errors: `Damaged` where it is not the wanted one, `OSError`."""
    found = _header(file, size)
    if found != wanted:
        raise Damaged(f"it holds {_words(found)} instead of {_words(wanted)}")
    return _values(file, found)


class Packed:
    """An .npz file's arrays by name: `shaped` are known, and checked against their bytes, before one is read."""

    def __init__(self, content: bytes) -> None:
        """Errors: `Damaged`."""
        self._zip = zipfile.ZipFile(io.BytesIO(_checked(content)))
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.shaped: dict[str, Shaped] = {}
        for member in self._zip.infolist():
            name = member.filename.removesuffix(".npy")
            if member.compress_type not in METHODS or member.flag_bits & 1 or name in self._members:
                raise Damaged(f"its part {name[:60]!r} is encrypted, there twice, or packed as numpy does not pack")
            self._members[name] = member
        total = sum(member.file_size for member in self._members.values())
        if total > MOST_BYTES:
            raise Damaged(f"it would unpack to {total:,} bytes, and {MOST_BYTES:,} are accepted")
        for name, member in self._members.items():
            with self._zip.open(member) as file:
                self.shaped[name] = _header(file, member.file_size)

    def read(self, wanted: Mapping[str, Shaped]) -> dict[str, Array]:
        """All arrays. Errors: `Damaged` where these are not the wanted ones."""
        if self.shaped.keys() != wanted.keys():
            odd = next(iter(self.shaped.keys() ^ wanted.keys()))
            raise Damaged(f"it {'has' if odd in self.shaped else 'misses'} the array {odd[:60]!r}")
        for name, found in self.shaped.items():
            if found != wanted[name]:
                raise Damaged(f"{name} is {_words(found)} instead of {_words(wanted[name])}")
        arrays = {}
        for name, member in self._members.items():
            with self._zip.open(member) as file:
                arrays[name] = _values(file, _header(file, member.file_size))
        return arrays


def _checked(content: bytes) -> bytes:
    """A zip file whose end is as numpy writes it. Errors: `Damaged`."""
    end = content[-END:]
    if len(end) < END or not end.startswith(b"PK\5\6") or int.from_bytes(end[12:16], "little") > MOST_DIRECTORY:
        raise Damaged("it does not end as numpy's zip files do")
    return content


def _header(file: IO[bytes], size: int) -> Shaped:
    """Type and shape out of an array's header, checked against the bytes of the whole file."""
    head = file.read(10)
    length = int.from_bytes(head[8:], "little")
    if len(head) < 10 or not head.startswith(b"\x93NUMPY\1\0") or length > MOST_HEADER:
        raise Damaged("it holds something that is no array")
    said = HEADER.fullmatch(file.read(length))
    if said is None or any(len(number) > 18 for number in said[2].split(b",")):
        raise Damaged("an array's header is not as numpy writes it")
    shape = tuple(int(number) for number in said[2].split(b",") if number.strip())
    found = Shaped(np.dtype(said[1].decode()), shape)
    if found.nbytes != size - 10 - length:
        raise Damaged(f"an array's header says {_words(found)}, and {size - 10 - length:,} bytes are behind it")
    return found


def _values(file: IO[bytes], found: Shaped) -> Array:
    data = file.read(found.nbytes)
    if len(data) < found.nbytes or file.read(1):
        raise Damaged("it is cut off in an array")
    return np.frombuffer(data, found.dtype).reshape(found.shape)


def _words(shaped: Shaped) -> str:
    return f"{shaped.dtype.name} {shaped.shape}"
