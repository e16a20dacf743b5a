"""Which file a setup really loads: the user's own, with or without overrides, or an altered copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.progress import Cancel, Progress
from workbench.setup import Setup


class ModelFile(NamedTuple):
    """A path for llama.cpp, the metadata overrides that it is given, and the file's state when it was looked at."""

    path: str
    overrides: dict[str, Any]
    size: int
    mtime_ns: int
    settings: str


def model_file(setup: Setup, *, progress: Progress | None = None, cancel: Cancel | None = None) -> ModelFile:
    """The file for this setup. Errors: `BadRequest` where it names no model, `BadFile` for a bad one."""
    if setup.model is None:
        raise BadRequest("the setup has no model", 'accepted is {"model": "PATH"}', "name a GGUF file")
    path = Path(setup.model).expanduser()
    stat = path.stat()
    return ModelFile(str(path), {}, stat.st_size, stat.st_mtime_ns, "")
