"""Loads llama.cpp's backends out of this folder, where they are libraries of their own.

Put into llama-cpp-python by the GGUF workbench's portable build, which carries the CPU backend once for each usual set
of instructions: upstream's package would find none of them. Nothing happens where a backend is loaded already.
"""

import ctypes
import os
import pathlib

_folder = pathlib.Path(__file__).parent / "lib"
# The copy of libggml that libllama is linked with, by its linked name where that is a file of its own.
_registry = ctypes.CDLL(str(next(iter(sorted(_folder.glob("libggml.so.[0-9]"))), _folder / "libggml.so")))
_registry.ggml_backend_dev_count.restype = ctypes.c_size_t
if not _registry.ggml_backend_dev_count():
    _registry.ggml_backend_load.argtypes = [ctypes.c_char_p]
    _registry.ggml_backend_load.restype = ctypes.c_void_p
    _registry.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    _registry.ggml_backend_load_all_from_path.restype = None
    _named = os.environ.get("GGUF_WORKBENCH_CPU_VARIANT")
    if _named:
        _registry.ggml_backend_load(os.fsencode(_folder / f"libggml-cpu-{_named}.so"))
    else:
        _registry.ggml_backend_load_all_from_path(os.fsencode(_folder))
