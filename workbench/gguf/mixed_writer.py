"""Writes the header of a file of mixed tensors, with llama.cpp's own `gguf_*` functions in a process of its own.

Run as a script by `mixed.py`: `python -I -S mixed_writer.py LIBRARY SOURCE TARGET`, the new tensor types as
JSON on stdin: `{tensor name: type name}`. Offsets follow the new sizes.
"""

import ctypes
import itertools
import json
import os
import sys
from typing import Any


class InitParams(ctypes.Structure):
    """`gguf_init_params`."""

    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


def declare(library: ctypes.CDLL) -> None:
    """Result and argument types of the functions used here."""
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (pointer, [text, InitParams]),
        "gguf_set_tensor_type": (None, [pointer, text, ctypes.c_int]),
        "gguf_write_to_file": (ctypes.c_bool, [pointer, text, ctypes.c_bool]),
        "ggml_type_name": (text, [ctypes.c_int]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def type_numbers(library: ctypes.CDLL, wanted: set[str]) -> dict[str, int]:
    """The ggml_type of each name, counted up only as far as needed: behind the last one lies no name."""
    found: dict[str, int] = {}
    numbers = itertools.count()
    while wanted - found.keys():
        number = next(numbers)
        found[(library.ggml_type_name(number) or b"").decode().upper()] = number
    return found


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 and llama.cpp's words on stderr."""
    library = ctypes.CDLL(arguments[0])
    declare(library)
    file = library.gguf_init_from_file(os.fsencode(arguments[1]), InitParams(True, None))
    if not file:
        return 1
    types: dict[str, str] = json.load(sys.stdin)
    numbers = type_numbers(library, set(types.values()))
    for tensor, kind in types.items():
        library.gguf_set_tensor_type(file, tensor.encode(), numbers[kind])
    return 0 if library.gguf_write_to_file(file, os.fsencode(arguments[2]), True) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
