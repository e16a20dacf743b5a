"""Other precisions of a GGUF file, made by llama.cpp's own quantiser in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from workbench.errors import BadRequest, Cancelled, CannotRun
from workbench.gguf.header import read_header
from workbench.progress import Cancel, Progress
from workbench.setup import default_threads

PREFIX = "LLAMA_FTYPE_MOSTLY_"
TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")  # how llama.cpp counts the tensors in its log
POLL_S = 0.05
SPARE_BYTES = 64 << 20  # left free on the disk
LAST_LINES = 20  # of the log, kept for an error's message


def quantise(
    source: str | Path,
    target: str | Path,
    kind: str,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Path:
    """Write `source` to `target` at llama.cpp's file type `kind`, such as "Q4_K_M"; returns `target`.

    Written aside and renamed: a target that is there is whole. Which tensor types a file type really uses
    depends on the widths: see `Header.tensor_types` of the result. Errors: `BadFile` for a source that cannot
    be read, `BadRequest` for a target that is the source, `CannotRun` with llama.cpp's own last words,
    `Cancelled`.
    """
    source, target = Path(source), Path(target)
    header = read_header(str(source))
    if target.exists() and target.samefile(source):
        raise BadRequest(f"the target {target} is the source", "accepted is another path", "name another file")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise CannotRun(f"nothing can be written to {target.parent}: {error.strerror or error}") from error
    if header.file_size + SPARE_BYTES > free:
        raise CannotRun(
            f"a {kind} of {source} may need {header.file_size:,} bytes and {target.parent} has {free:,} free",
            "",
            "free some space, or name a folder on a larger disk",
        )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".quantise-") as folder:
        aside = Path(folder) / target.name
        _run([str(source), str(aside), kind], progress, cancel)
        aside.replace(target)
    return target


def _run(arguments: list[str], progress: Progress | None, cancel: Cancel | None) -> None:
    command = [sys.executable, "-P", "-m", "workbench.runtime.quantise", *arguments]
    from workbench.runtime.process import child_environment

    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=child_environment()
    )
    lines: list[str] = []
    reader = threading.Thread(
        target=_follow, args=(child, arguments[2], lines, progress), name="workbench-quantise", daemon=True
    )
    reader.start()
    try:
        while child.poll() is None:
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"making a {arguments[2]} was cancelled")
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
    finally:
        child.kill()
        child.wait()
        reader.join()
    if child.returncode:
        said = [line for line in lines if line.strip()]
        raise CannotRun(f"llama.cpp makes no {arguments[2]} of {arguments[0]}", said[-1] if said else "")


def _follow(child: subprocess.Popen[bytes], kind: str, lines: list[str], progress: Progress | None) -> None:
    """Read the log to its end: keep the last lines, tell how many tensors are done."""
    with child.stderr as stream:  # type: ignore[union-attr]  # opened above
        for data in stream:
            line = data.decode("utf-8", "backslashreplace").rstrip()
            lines.append(line)
            del lines[:-LAST_LINES]
            if progress is not None and (found := TENSOR.search(line)):
                progress(f"making a {kind}", int(found[1]), int(found[2]))


def main(source: str, target: str, kind: str) -> int:
    """The child: one call of `llama_model_quantize`; its log goes to stderr."""
    from workbench.runtime.library import bindings

    library = bindings()
    number = getattr(library, PREFIX + kind.upper(), None)
    if number is None:
        names = sorted(name.removeprefix(PREFIX) for name in dir(library) if name.startswith(PREFIX))
        sys.stderr.write(f"llama.cpp knows no file type {kind!r}; accepted are {', '.join(names)}\n")
        return 2
    library.llama_backend_init()
    parameters = library.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = number, default_threads()
    failed = library.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
