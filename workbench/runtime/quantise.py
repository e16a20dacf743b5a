"""Other precisions of a GGUF file, made by llama.cpp's own quantiser in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

from workbench.aside import aside, remove_abandoned
from workbench.data import cache_dir
from workbench.environment import versions
from workbench.errors import BadRequest, Cancelled, CannotRun
from workbench.gguf.fingerprint import fingerprint
from workbench.gguf.header import FileState, Header, file_state, is_whole, read_header, require_unchanged
from workbench.progress import Cancel, Progress
from workbench.runtime.process import child_environment
from workbench.runtime.recipe import SPARE_BYTES, Recipe

TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")  # how llama.cpp counts the tensors in its log
QUANTISED = "quantised"  # the folder in the cache
POLL_S = 0.05
LATE_S = 1.0  # that a thread may take to begin
LAST_LINES = 20  # of the log, kept for an error's message
Child = subprocess.Popen[bytes]


def quantise(
    source: str | Path,
    target: str | Path,
    kind: str | Recipe,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    variables: Mapping[str, str] | None = None,
) -> Path:
    """Write `source` to `target` at llama.cpp's file type `kind`, such as "Q4_K_M", or as a `Recipe` says.

    Written aside and renamed: a target that is there is whole. Which tensor types a file type really uses
    depends on the widths: see `Header.tensor_types` of the result. Errors: `BadFile` for a source that cannot
    be read or was changed meanwhile, `BadRequest` for a target that is the source, `CannotRun` with llama.cpp's
    own last words or where nothing can be written, `Cancelled`. `variables` are added to its process's environment.
    """
    before = file_state(read_header(source).path)
    return _quantise(Path(source), Path(target), Recipe.of(kind), before, progress, cancel, variables or {})


def quantised(
    source: str | Path, kind: str | Recipe, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> Path:
    """The same in the cache, made where it is not there yet. Errors: those of `quantise`."""
    before = file_state(read_header(source).path)
    target = cached_path(source, kind)
    if not is_whole(target):
        _quantise(Path(source), target, Recipe.of(kind), before, progress, cancel, {})
    return target


def _quantise(
    source: Path,
    target: Path,
    recipe: Recipe,
    before: FileState,
    progress: Progress | None,
    cancel: Cancel | None,
    variables: Mapping[str, str],
) -> Path:
    """The work of `quantise`; the source must still be in the state `before` when it is done."""
    header = read_header(source)
    recipe.check(header)
    if recipe.imatrix is not None:
        read_header(recipe.imatrix)
    if target.exists() and target.samefile(source):
        raise BadRequest(f"the target {target} is the source", "accepted is another path", "name another file")
    remove_abandoned(target.parent)
    require_space(target.parent, recipe.most_bytes(header), f"a {recipe.kind} of {source}")
    try:
        with aside(target) as part:
            _run(header, part, recipe, progress, cancel, variables)
            require_unchanged(header.path, before, f"a {recipe.kind} of it was made")
    except OSError as error:
        raise CannotRun(
            f"a {recipe.kind} of {source} cannot be written to {target}: {error.strerror or error}",
            "accepted is a path where one may write, on a disk with room",
            "name another path",
        ) from error
    return target


def cached_path(source: str | Path, kind: str | Recipe) -> Path:
    """Where the cache keeps this: the name tells the source's content, the recipe and the quantiser's version."""
    recipe = Recipe.of(kind)
    facts = recipe.to_dict() | {"source": fingerprint(source), "version": versions().get("llama-cpp-python")}
    if recipe.imatrix is not None:
        facts["imatrix"] = fingerprint(recipe.imatrix)
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir() / QUANTISED / f"{Path(source).stem}-{recipe.kind}-{key}.gguf"


def require_space(folder: Path, size: int, what: str) -> None:
    """Make `folder` where it is not there. Errors: `CannotRun` where `what` may not fit on its disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise CannotRun(f"nothing can be written to {folder}: {error.strerror or error}") from error
    if size + SPARE_BYTES > free:
        raise CannotRun(
            f"{what} may need {size:,} bytes and {folder} has {free:,} free",
            "",
            "free some space, or name a folder on a larger disk",
        )


def _run(
    header: Header,
    part: Path,
    recipe: Recipe,
    progress: Progress | None,
    cancel: Cancel | None,
    variables: Mapping[str, str],
) -> None:
    order = json.dumps({"source": header.path, "target": str(part), "recipe": recipe.to_dict()})
    command = [sys.executable, "-P", "-m", "workbench.runtime.quantise_worker", order]
    environment, started, lines = child_environment() | dict(variables), Future[Child](), list[str]()
    # Started on the thread that follows it: an interrupt, which is the calling thread's, never loses it half-started.
    work = (command, environment, started, recipe.kind, lines, progress)
    reader = threading.Thread(target=_follow, args=work, name="workbench-quantise", daemon=True)
    try:
        reader.start()
        child = started.result()
        while child.poll() is None:
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"making a {recipe.kind} was cancelled")
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
    finally:
        with contextlib.suppress(TimeoutError):  # an interrupt came before the thread began
            child = started.result(None if reader.is_alive() else LATE_S)
            child.kill()
            child.wait()
            reader.join()
    if child.returncode:
        said = [line for line in lines if line.strip()]
        raise CannotRun(f"llama.cpp makes no {recipe} of {header.path}", said[-1] if said else "")


def _follow(
    command: list[str],
    environment: dict[str, str],
    started: Future[Child],
    kind: str,
    lines: list[str],
    progress: Progress | None,
) -> None:
    """Start the quantiser and read its log to the end: keep the last lines, tell how many tensors are done."""
    nothing = subprocess.DEVNULL
    try:
        child = subprocess.Popen(command, env=environment, stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)
    except OSError as error:
        started.set_exception(error)
        return
    started.set_result(child)
    with child.stderr as stream:  # type: ignore[union-attr]  # opened above
        for data in stream:
            line = data.decode("utf-8", "backslashreplace").rstrip()
            lines.append(line)
            del lines[:-LAST_LINES]
            if progress is not None and (found := TENSOR.search(line)):
                progress(f"making a {kind}", int(found[1]), int(found[2]))
