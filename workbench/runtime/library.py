"""llama.cpp's functions, through llama-cpp-python's ctypes bindings and its shared libraries.

Only the bindings are loaded: the package's own `__init__` imports its high-level classes, which costs
half a second and sets a log handler. Meant for the model's process, never for the notebook's kernel.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from workbench.errors import CannotRun


def library_folder() -> Path:
    """The folder of llama.cpp's shared libraries, found without importing llama_cpp. Errors: `CannotRun`."""
    spec = importlib.util.find_spec("llama_cpp")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        folder = Path(place) / "lib"
        if folder.is_dir():
            return folder
    raise CannotRun(
        "llama-cpp-python is not installed" if not places else f"no shared libraries in {places[0]}",
        "the workbench runs models through llama-cpp-python 0.3.30 or later",
        "pip install llama-cpp-python",
    )


def shared_library(name: str) -> Path:
    """The path of one of llama.cpp's libraries, `ggml-base` for example. Errors: `CannotRun`."""
    folder = library_folder()
    for pattern in (f"lib{name}.so", f"lib{name}.dylib", f"{name}.dll", f"lib{name}.dll"):
        if (folder / pattern).exists():
            return folder / pattern
    raise CannotRun(
        f"{folder} has no library {name}", "accepted is a complete llama-cpp-python", "reinstall llama-cpp-python"
    )


def bindings() -> Any:
    """The module `llama_cpp.llama_cpp` alone. Errors: `CannotRun` where it is missing or does not load."""
    library_folder()
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    except (OSError, RuntimeError, AttributeError, ImportError) as error:
        raise CannotRun(
            f"llama-cpp-python does not load ({error})", "", "reinstall llama-cpp-python for this machine"
        ) from error


def ggml() -> ctypes.CDLL:
    """libggml with the device registry's functions declared."""
    library = ctypes.CDLL(str(shared_library("ggml")))
    for name, result, arguments in (
        ("ggml_backend_dev_count", ctypes.c_size_t, []),
        ("ggml_backend_dev_get", ctypes.c_void_p, [ctypes.c_size_t]),
        ("ggml_backend_dev_name", ctypes.c_char_p, [ctypes.c_void_p]),
        ("ggml_backend_dev_description", ctypes.c_char_p, [ctypes.c_void_p]),
        ("ggml_backend_dev_type", ctypes.c_int, [ctypes.c_void_p]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
