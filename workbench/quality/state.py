"""The chunks that were measured so far, in the cache: a measurement that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.aside import aside, remove_abandoned
from workbench.bounded import read_kept
from workbench.data import cache_dir
from workbench.errors import CannotRun
from workbench.packed import MOST_HEADER, Shaped, read_npy

Floats = npt.NDArray[np.float32]
QUALITY = "quality"  # the folder in the cache
KEPT_RUNS = 32


class State:
    """One measurement's chunks; `facts` are all that its figures depend on. A chunk is written aside, then renamed."""

    def __init__(self, facts: dict[str, Any], shape: tuple[int, int]) -> None:
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = cache_dir() / QUALITY / key
        self._wanted = Shaped(np.dtype(np.float32), shape)
        remove_abandoned(self.folder)

    def load(self, chunk: int) -> Floats | None:
        """A chunk's figures (rows, positions), None where it was not measured or cannot be read."""
        try:
            content = read_kept(self._path(chunk), MOST_HEADER + self._wanted.nbytes)
            return read_npy(io.BytesIO(content), len(content), self._wanted)
        except (OSError, ValueError):
            return None

    def save(self, chunk: int, figures: Floats) -> None:
        """Keep a chunk's figures. Errors: `CannotRun` where they cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with aside(self._path(chunk)) as part, part.open("wb") as file:
                np.save(file, figures, allow_pickle=False)
        except OSError as error:
            raise CannotRun(
                f"what was measured cannot be kept in {self.folder}: {error.strerror or error}",
                "",
                "free some space, or set GGUF_WORKBENCH_CACHE to a folder on a larger disk",
            ) from error

    def remove_old(self) -> None:
        """Keep the measurements written last, at most `KEPT_RUNS`."""
        with contextlib.suppress(OSError):  # another process removed one
            runs = sorted(self.folder.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in runs[KEPT_RUNS:]:
                shutil.rmtree(path)

    def _path(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.npy"
