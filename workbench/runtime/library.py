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
from typing import Any

from workbench.errors import CannotRun
from workbench.gguf.library import package_folders, shared_library
from workbench.runtime import backends

DECLARED: tuple[tuple[str, Any, list[Any]], ...] = (
    ("ggml_backend_dev_count", ctypes.c_size_t, []),
    ("ggml_backend_dev_get", ctypes.c_void_p, [ctypes.c_size_t]),
    ("ggml_backend_dev_name", ctypes.c_char_p, [ctypes.c_void_p]),
    ("ggml_backend_dev_description", ctypes.c_char_p, [ctypes.c_void_p]),
    ("ggml_backend_dev_type", ctypes.c_int, [ctypes.c_void_p]),
)


def bindings() -> Any:
    """The module `llama_cpp.llama_cpp` alone. Errors: `CannotRun` where it is missing or does not load."""
    ggml()  # a build whose backends are libraries of their own loads them by itself where nobody did
    if "llama_cpp" not in sys.modules:
        package = types.ModuleType("llama_cpp")
        package.__path__ = package_folders()
        package.__spec__ = importlib.util.find_spec("llama_cpp")
        sys.modules["llama_cpp"] = package
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    except (OSError, RuntimeError, AttributeError, ImportError) as error:
        raise _does_not_load(error) from error


def ggml() -> ctypes.CDLL:
    """The library ggml with the device registry's functions declared, and every backend loaded. Errors: `CannotRun`."""
    try:
        library = ctypes.CDLL(str(shared_library("ggml")))
        for name, result, arguments in DECLARED:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise _does_not_load(error) from error
    backends.load(library)
    return library


def _does_not_load(error: Exception) -> CannotRun:
    return CannotRun(f"llama-cpp-python does not load ({error})", "", "reinstall llama-cpp-python for this machine")
