"""Where llama.cpp's shared libraries are, found without importing llama_cpp."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from workbench.errors import CannotRun


def package_folders() -> list[str]:
    """The folders of the installed llama_cpp package. Errors: `CannotRun` where there is none."""
    spec = importlib.util.find_spec("llama_cpp")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise CannotRun(
            "llama-cpp-python is not installed",
            "the workbench runs models through llama-cpp-python 0.3.30 or later",
            "pip install llama-cpp-python",
        )
    return folders


def library_folder() -> Path:
    """The folder of llama.cpp's libraries. Errors: `CannotRun`."""
    return shared_library("ggml").parent


def shared_library(name: str) -> Path:
    """The path of one of llama.cpp's libraries, `ggml-base` for example. Errors: `CannotRun`.

    Where a library lies there under its linked name too (`libggml.so.0`), that is the one: wheels hold no links, so
    that the two are two files, and a second copy in a process has a registry of devices of its own.
    """
    folders = [Path(folder) / "lib" for folder in package_folders()]
    for folder in folders:
        versions = sorted(path for path in folder.glob(f"lib{name}.so.*") if path.stem == f"lib{name}.so")
        if versions and name != "llama":  # which the bindings load by its plain name
            return versions[0]
        for pattern in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll", f"lib{name}.dll"):
            if (folder / pattern).exists():
                return folder / pattern
    raise CannotRun(
        f"{folders[0]} has no library {name}", "accepted is a complete llama-cpp-python", "reinstall llama-cpp-python"
    )
