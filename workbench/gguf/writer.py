"""Writes the header of an altered GGUF copy, with llama.cpp's own `gguf_*` functions in a process of its own.

Run as a script by `altered.py`: `python -I -S writer.py LIBRARY SOURCE TARGET`, the changes as JSON on
stdin: `{"changes": {key: {"type": TYPE, "array": bool, "value": ...} or null}, "tensors": bool}`.
"""

import contextlib
import ctypes
import json
import os
import sys
from typing import Any

# type name -> gguf_type, the setter's suffix, ctypes type
TYPES: dict[str, tuple[int, str, Any]] = {
    "UINT8": (0, "u8", ctypes.c_uint8),
    "INT8": (1, "i8", ctypes.c_int8),
    "UINT16": (2, "u16", ctypes.c_uint16),
    "INT16": (3, "i16", ctypes.c_int16),
    "UINT32": (4, "u32", ctypes.c_uint32),
    "INT32": (5, "i32", ctypes.c_int32),
    "FLOAT32": (6, "f32", ctypes.c_float),
    "BOOL": (7, "bool", ctypes.c_bool),
    "STRING": (8, "str", ctypes.c_char_p),
    "UINT64": (10, "u64", ctypes.c_uint64),
    "INT64": (11, "i64", ctypes.c_int64),
    "FLOAT64": (12, "f64", ctypes.c_double),
}


class InitParams(ctypes.Structure):
    """`gguf_init_params`."""

    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


def declare(library: ctypes.CDLL) -> None:
    """Result and argument types of the functions used here."""
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (pointer, [text, InitParams]),
        "gguf_init_empty": (pointer, []),
        "gguf_set_kv": (None, [pointer, pointer]),
        "gguf_remove_key": (ctypes.c_int64, [pointer, text]),
        "gguf_set_arr_data": (None, [pointer, text, ctypes.c_int, pointer, ctypes.c_size_t]),
        "gguf_set_arr_str": (None, [pointer, text, ctypes.POINTER(text), ctypes.c_size_t]),
        "gguf_write_to_file": (ctypes.c_bool, [pointer, text, ctypes.c_bool]),
    }
    for _, suffix, kind in TYPES.values():
        signatures[f"gguf_set_val_{suffix}"] = (None, [pointer, text, kind])
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def apply(library: ctypes.CDLL, file: Any, key: str, change: dict[str, Any] | None) -> None:
    """Set or remove one key."""
    name = key.encode()
    if change is None:
        library.gguf_remove_key(file, name)
        return
    number, suffix, kind = TYPES[change["type"]]
    value = change["value"]
    if not change["array"]:
        getattr(library, f"gguf_set_val_{suffix}")(file, name, value.encode() if suffix == "str" else value)
    elif suffix == "str":
        library.gguf_set_arr_str(file, name, (kind * len(value))(*[item.encode() for item in value]), len(value))
    else:
        library.gguf_set_arr_data(file, name, number, (kind * len(value))(*value), len(value))


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 and llama.cpp's words on stderr."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(arguments[0])
    declare(library)
    order = json.load(sys.stdin)
    file = library.gguf_init_from_file(os.fsencode(arguments[1]), InitParams(True, None))
    if not file:
        return 1
    if not order["tensors"]:
        source, file = file, library.gguf_init_empty()
        library.gguf_set_kv(file, source)
    for key, change in order["changes"].items():
        apply(library, file, key, change)
    return 0 if library.gguf_write_to_file(file, os.fsencode(arguments[2]), True) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
