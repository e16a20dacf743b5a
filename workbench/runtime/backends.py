"""A llama.cpp whose backends are libraries of their own: loads them, with the best CPU variant that may run here.

Such a build (`GGML_BACKEND_DL` with `GGML_CPU_ALL_VARIANTS`) carries the CPU backend once for each set of
instructions, so that one wheel serves any processor of its kind. llama.cpp's own loader takes the highest score:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-backend-reg.cpp#L477
Here the same scores count, but a variant that did not pass its proof on this machine is left out.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from workbench.errors import CannotRun
from workbench.gguf.library import library_folder
from workbench.runtime.limits import known

VARIANT = "GGUF_WORKBENCH_CPU_VARIANT"  # names the variant to take, whatever its score
PREFIX, CPU_PREFIX, SUFFIX = "libggml-", "libggml-cpu-", ".so"
FIRST = ("cuda", "hip", "metal", "rpc", "sycl", "vulkan")  # llama.cpp's order of devices


def variants() -> dict[str, Path]:
    """The CPU variants of this build by name; empty for one that is built for one processor."""
    files = sorted(library_folder().glob(f"{CPU_PREFIX}*{SUFFIX}"))
    return {file.name.removeprefix(CPU_PREFIX).removesuffix(SUFFIX): file for file in files}


def ranked() -> list[str]:
    """The variants that this processor can run, by llama.cpp's own scores, the best first."""
    scores = {name: _score(path) for name, path in variants().items()}
    return sorted((name for name, score in scores.items() if score), key=lambda name: (-scores[name], name))


def load(registry: ctypes.CDLL) -> None:
    """Load what this build has, where its backends are libraries of their own and none is loaded yet.

    Errors: `CannotRun` where no variant may run here, or the one that is asked for is not there.
    """
    if registry.ggml_backend_dev_count():
        return
    registry.ggml_backend_load.argtypes, registry.ggml_backend_load.restype = [ctypes.c_char_p], ctypes.c_void_p
    for name in FIRST:
        path = library_folder() / f"{PREFIX}{name}{SUFFIX}"
        if path.exists():
            registry.ggml_backend_load(os.fsencode(path))
    name = chosen()
    if not registry.ggml_backend_load(os.fsencode(variants()[name])):
        raise CannotRun(f"llama.cpp does not load its CPU variant {name} here", "", "install llama-cpp-python again")


def chosen() -> str:
    """The variant to load: the one that is asked for, else the best that is not known to fail. Errors: `CannotRun`."""
    there = variants()
    asked = os.environ.get(VARIANT)
    if asked:
        if asked not in there:
            raise CannotRun(
                f"{VARIANT} is {asked!r}, which this build of llama.cpp does not have",
                f"accepted are {', '.join(there) or 'none: it is built for one processor'}",
                "unset it to have the best one chosen",
            )
        return asked
    refused = known().refused_variants
    able = [name for name in ranked() if name not in refused]
    if not able:
        raise CannotRun(
            f"no CPU variant of this llama.cpp runs here; it has {', '.join(there) or 'none'}"
            + (f", of which {', '.join(refused)} failed" if refused else ""),
            "",
            "run `python -m workbench.proof`, or build llama-cpp-python for this machine",
        )
    return able[0]


def _score(path: Path) -> int:
    """llama.cpp's own score of a variant on this processor, 0 where it cannot run."""
    try:
        score = ctypes.CDLL(str(path)).ggml_backend_score
    except (OSError, AttributeError):
        return 0
    score.restype = ctypes.c_int
    return int(score())
