"""Why a file cannot be read as GGUF, in one sentence.

Walks the file in plain Python, only when llama.cpp's reader has refused it. Every count and length is
held against the bytes that are left before it is used.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from workbench.errors import BadFile, one_line
from workbench.values import clip

MAGIC = b"GGUF"
VERSIONS = (2, 3)
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes by gguf_type
STRING, ARRAY = 8, 9
LEAST_KEY, LEAST_TENSOR = 13, 24  # bytes of the smallest metadata entry and tensor entry
VERY_LONG = 1 << 30  # bytes; no text in a real file is longer, so the length itself is damaged
MOST_REAL = 65_536  # keys or tensors; a cut file may announce so many, more is damage
LONGEST_NAME = 80  # characters
AGAIN = "download or copy the file again"

# First bytes -> what such a file is
LOOKS = (
    (b"PK\x03\x04", "a ZIP archive, as PyTorch's .bin and .pt files are"),
    (b"\x80\x02", "a Python pickle, as old PyTorch files are"),
    (b"version https://git-lfs", "a Git LFS pointer: the text that stands for a large file, not the file"),
    (b"<!DOCTYPE", "an HTML page, as servers send in place of a file"),
    (b"<!doctype", "an HTML page, as servers send in place of a file"),
    (b"<html", "an HTML page, as servers send in place of a file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"lmgg", "an old GGML file, from before GGUF"),
    (b"tjgg", "an old GGML file, from before GGUF"),
    (b"fmgg", "an old GGML file, from before GGUF"),
    (b"{", "a JSON text"),
)


class Broken(Exception):
    """Where the walk ended; the message is the middle of a sentence."""


def require_file(path: Path) -> None:
    """Nothing where `path` is a file with content. Errors: `BadFile`."""
    try:
        if path.is_dir():
            raise BadFile(f"{path} is a directory", "accepted is a GGUF file", "name the file in it")
        if not path.exists():
            raise BadFile(f"{path} does not exist", "accepted is the path of a GGUF file", "check the path")
        if not path.is_file():
            raise BadFile(f"{path} is no regular file", "accepted is a GGUF file")
        if path.stat().st_size == 0:
            raise BadFile(f"{path} is empty", "accepted is a GGUF file", AGAIN)
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise BadFile(f"{path!s} cannot be read: {error}", "accepted is a GGUF file") from error


def why_bad(path: Path, library_said: str) -> BadFile:
    """The error for a file that llama.cpp's reader refused; `library_said` is the last resort."""
    try:
        with path.open("rb") as file:
            _Walk(file, path.stat().st_size).run()
    except Broken as found:
        return BadFile(f"{path} {found}", "accepted is a whole GGUF file of version 2 or 3", AGAIN)
    except OSError as error:
        return BadFile(f"{path} cannot be read: {error}", "accepted is a GGUF file")
    said = library_said.strip().splitlines()
    return BadFile(
        f"{path} is damaged: llama.cpp says {said[0]!r}" if said else f"{path} is damaged and ends llama.cpp's reader",
        "accepted is a whole GGUF file of version 2 or 3",
        AGAIN,
    )


def check_tensors(path: Path, tensors: list[tuple[str, int, int]], data_offset: int, size: int) -> None:
    """Errors: `BadFile` where the data of a tensor (name, offset, bytes) lies behind the file's end."""
    end = max((data_offset + offset + n for _, offset, n in tensors), default=0)
    if end <= size:
        return
    inside = [data_offset + offset + n <= size for _, offset, n in tensors]
    first = inside.index(False)
    raise BadFile(
        f"{path} is cut off in the tensors: {end - size:,} bytes are missing, "
        f"the first tensor that is not whole is {tensors[first][0]} ({first + 1:,} of {len(tensors):,})",
        f"accepted is the whole file of {end:,} bytes; this one has {size:,}",
        AGAIN,
    )


class _Walk:
    """One pass over a header; raises `Broken` at the first thing that is wrong."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._where = "in the header"

    def run(self) -> None:
        self._magic_and_version()
        n_tensors, n_keys = self._number("<Q"), self._number("<Q")
        self._plausible(n_keys, LEAST_KEY, "metadata keys")
        self._plausible(n_tensors, LEAST_TENSOR, "tensors")
        for index in range(n_keys):
            self._where = f"in the metadata, key {index + 1:,} of {n_keys:,}"
            self._key(index)
        for index in range(n_tensors):
            self._where = f"in the table of tensors, {index + 1:,} of {n_tensors:,}"
            self._tensor()

    def _magic_and_version(self) -> None:
        head = self._file.read(64)
        self._file.seek(4)
        if not head.startswith(MAGIC):
            if MAGIC.startswith(head):
                raise Broken(f"is cut off in the header: it has {len(head)} bytes")
            raise Broken(f"is not a GGUF file: {looks_like(head)}")
        version = self._number("<I")
        if version & 0xFFFF == 0 and version:
            raise Broken(f"is a big-endian GGUF file (version {version >> 24}), which llama.cpp does not read here")
        if version not in VERSIONS:
            raise Broken(f"is of GGUF version {version}; llama.cpp reads {VERSIONS[0]} and {VERSIONS[1]}")

    def _plausible(self, count: int, least: int, what: str) -> None:
        left = self._size - self._file.tell()
        if count > max(left // least, MOST_REAL):
            raise Broken(
                f"is cut off or damaged in the header: it announces {count:,} {what}, "
                f"and the {left:,} bytes behind it hold {left // least:,} at most"
            )

    def _key(self, index: int) -> None:
        name = self._text().decode("utf-8", "backslashreplace")
        where = "vocabulary" if name.startswith("tokenizer.ggml.") else "metadata"
        self._where = f"in the {where}, at {_shown(name)}" if name else self._where
        if not name:
            raise Broken(f"is damaged: metadata key {index + 1:,} has no name")
        self._value(self._number("<i"), name)

    def _value(self, kind: int, name: str) -> None:
        if kind == STRING:
            self._text()
        elif kind in SIZES:
            self._skip(SIZES[kind])
        elif kind == ARRAY:
            self._array(self._number("<i"), self._number("<Q"), name)
        else:
            raise Broken(f"is damaged {self._where}: its type is {kind}, known are 0 to 12")

    def _array(self, kind: int, count: int, name: str) -> None:
        if kind in SIZES:
            self._skip(count * SIZES[kind])
        elif kind == STRING:
            where = self._where
            for index in range(count):
                self._where = f"{where}, item {index + 1:,} of {count:,}"
                self._text()
        else:
            raise Broken(f"is damaged {self._where}: the items of {_shown(name)} are of type {kind}")

    def _tensor(self) -> None:
        name = self._text().decode("utf-8", "backslashreplace")
        self._where += f" ({_shown(name)})"
        dimensions = self._number("<I")
        if dimensions > 4:
            raise Broken(f"is damaged {self._where}: it has {dimensions:,} dimensions, at most 4 are known")
        self._skip(8 * dimensions + 4 + 8)

    def _text(self) -> bytes:
        length = self._number("<Q")
        if length > VERY_LONG:
            raise Broken(f"is damaged {self._where}: a text there is {length:,} bytes long")
        self._require(length)
        return self._file.read(length)

    def _number(self, form: str) -> int:
        size = struct.calcsize(form)
        self._require(size)
        number: int = struct.unpack(form, self._file.read(size))[0]
        return number

    def _skip(self, size: int) -> None:
        self._require(size)
        self._file.seek(size, 1)

    def _require(self, size: int) -> None:
        left = self._size - self._file.tell()
        if size > left:
            raise Broken(f"is cut off {self._where}: at least {size - left:,} bytes are missing")


def looks_like(head: bytes) -> str:
    """What a file with these first bytes is, in words."""
    for start, words in LOOKS:
        if head.startswith(start):
            return f"it looks like {words}"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "it looks like a safetensors file"
    return f"it begins with {head[:8]!r} instead of {MAGIC!r}"


def _shown(name: str) -> str:
    """A name out of a damaged file for a sentence: on one line and not too long, whatever bytes it is made of."""
    return clip(one_line(name), LONGEST_NAME)
