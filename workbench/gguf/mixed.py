"""A GGUF file with some tensors of another file of the same model: for one measurement, then removed.

llama.cpp's quantiser could make such a file from the high-precision one, but not the same low one: that may
have come from elsewhere, with an importance matrix that nobody has. Here every other tensor stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from workbench.aside import remove_abandoned, scratch
from workbench.data import cache_dir
from workbench.errors import BadRequest, Cancelled, CannotRun
from workbench.gguf.header import Header, Tensor
from workbench.gguf.library import shared_library
from workbench.progress import Cancel, Progress

WRITER = Path(__file__).with_name("mixed_writer.py")
MIXED = "mixed"  # the folder in the cache
CHUNK_BYTES = 16 << 20
SPARE_BYTES = 256 << 20  # left free on the disk
TIMEOUT_S = 300.0


def require_same_model(low: Header, high: Header) -> None:
    """Errors: `BadRequest` where the two files do not hold the same tensors."""
    shapes = [{tensor.name: tensor.shape for tensor in header.tensors} for header in (low, high)]
    odd = [name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)]
    if odd or not shapes[0]:
        what = f"{len(odd):,} tensors differ in name or shape, such as {odd[0]}" if odd else "they hold no tensors"
        raise BadRequest(
            f"{low.path} and {high.path} are not one model in two precisions: {what}",
            "accepted are two files with the same tensors",
            "quantise the high-precision file yourself",
        )


@contextlib.contextmanager
def mixed_file(
    low: Header,
    high: Header,
    names: Collection[str],
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Iterator[Path]:
    """The path of `low` with the tensors `names` out of `high`; the file is gone when the block ends.

    Errors: `BadRequest` as `require_same_model`, `CannotRun` where the disk is full, `Cancelled`.
    """
    require_same_model(low, high)
    sources = {tensor.name: (low, tensor) for tensor in low.tensors}
    sources |= {tensor.name: (high, tensor) for tensor in high.tensors if tensor.name in names}
    folder = cache_dir() / MIXED
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(folder)
            _require_room(folder, sum(tensor.nbytes for _, tensor in sources.values()))
            path = stack.enter_context(scratch(folder)) / Path(low.path).name
            types = {name: tensor.type for name, (header, tensor) in sources.items() if header is high}
            _write_header(low, types, path)
            alignment = int(low.get("general.alignment", 32))
            _append(path, [sources[tensor.name] for tensor in low.tensors], alignment, progress, cancel)
        except OSError as error:
            raise CannotRun(
                f"no file of mixed tensors could be written to {folder}: {error.strerror or error}",
                "",
                "free some space, or set GGUF_WORKBENCH_CACHE to a folder on a larger disk",
            ) from error
        yield path


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise CannotRun(
            f"a file of mixed tensors needs {size:,} bytes and {folder} has {free:,} free",
            "",
            "free some space, or set GGUF_WORKBENCH_CACHE to a folder on a larger disk",
        )


def _write_header(low: Header, types: dict[str, str], path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(WRITER), str(shared_library("ggml-base")), low.path, str(path)]
    given = json.dumps(types).encode()
    done = subprocess.run(command, input=given, capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise CannotRun(f"no mixed copy of {low.path} could be written: {said[-1] if said else 'no reason given'}")


def _append(
    path: Path, tensors: list[tuple[Header, Tensor]], alignment: int, progress: Progress | None, cancel: Cancel | None
) -> None:
    """Every tensor's bytes behind the header, each from its own file, each padded to the alignment with zeros."""
    with contextlib.ExitStack() as stack, path.open("r+b") as target:
        files = {header.path: stack.enter_context(Path(header.path).open("rb")) for header, _ in tensors}
        target.seek(0, os.SEEK_END)
        for done, (header, tensor) in enumerate(tensors):
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"mixing {Path(header.path).name} was cancelled")
            _copy(files[header.path], target, header.data_offset + tensor.offset, tensor.nbytes)
            target.seek(-tensor.nbytes % alignment, os.SEEK_CUR)
            target.truncate()
            if progress is not None:
                progress("mixing tensors", done + 1, len(tensors))


def _copy(source: BinaryIO, target: BinaryIO, at: int, size: int) -> None:
    source.seek(at)
    while size > 0 and (data := source.read(min(CHUNK_BYTES, size))):
        target.write(data)
        size -= len(data)
