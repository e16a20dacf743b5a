"""A GGUF header as JSON on stdout, read by llama.cpp's own `gguf_*` functions in a process of its own.

Run as a script by `header.py`: `python -I -S reader.py LIBRARY FILE [KEY]`. It imports the standard
library's ctypes and nothing else, so that it starts in some hundredths of a second; a file that crashes
the library ends this process and no other. With KEY it prints that array alone.

llama.cpp checks every count and length against the bytes that are left in the file before it reads:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/gguf.cpp#L232
Texts end at a NUL, as everywhere in llama.cpp.
"""

import ctypes
import json
import os
import struct
import sys
from typing import Any

# gguf.h: enum gguf_type -> name, the getter's suffix, ctypes type
TYPES: dict[int, tuple[str, str, Any]] = {
    0: ("UINT8", "u8", ctypes.c_uint8),
    1: ("INT8", "i8", ctypes.c_int8),
    2: ("UINT16", "u16", ctypes.c_uint16),
    3: ("INT16", "i16", ctypes.c_int16),
    4: ("UINT32", "u32", ctypes.c_uint32),
    5: ("INT32", "i32", ctypes.c_int32),
    6: ("FLOAT32", "f32", ctypes.c_float),
    7: ("BOOL", "bool", ctypes.c_bool),
    8: ("STRING", "str", ctypes.c_char_p),
    10: ("UINT64", "u64", ctypes.c_uint64),
    11: ("INT64", "i64", ctypes.c_int64),
    12: ("FLOAT64", "f64", ctypes.c_double),
}
STRING, ARRAY = 8, 9
SHOWN_ITEMS = 8
SMALL_ARRAY = 64  # arrays of numbers up to this length are given whole
SPECIAL = ("bos", "eos", "unknown", "seperator", "padding", "cls", "mask", "eot", "eom")
ADDRESS_SPACE = 16 << 30  # bytes; a hostile count must not take the machine down


class InitParams(ctypes.Structure):
    """`gguf_init_params`."""

    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


def declare(library: ctypes.CDLL) -> None:
    """Result and argument types of the functions used here."""
    pointer, text, index = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (pointer, [text, InitParams]),
        "gguf_get_version": (ctypes.c_uint32, [pointer]),
        "gguf_get_alignment": (ctypes.c_size_t, [pointer]),
        "gguf_get_data_offset": (ctypes.c_size_t, [pointer]),
        "gguf_get_n_kv": (index, [pointer]),
        "gguf_find_key": (index, [pointer, text]),
        "gguf_get_key": (text, [pointer, index]),
        "gguf_get_kv_type": (ctypes.c_int, [pointer, index]),
        "gguf_get_arr_type": (ctypes.c_int, [pointer, index]),
        "gguf_get_arr_n": (ctypes.c_size_t, [pointer, index]),
        "gguf_get_arr_data": (pointer, [pointer, index]),
        "gguf_get_arr_str": (text, [pointer, index, ctypes.c_size_t]),
        "gguf_get_n_tensors": (index, [pointer]),
        "gguf_get_tensor_name": (text, [pointer, index]),
        "gguf_get_tensor_type": (ctypes.c_int, [pointer, index]),
        "gguf_get_tensor_offset": (ctypes.c_size_t, [pointer, index]),
        "gguf_get_tensor_size": (ctypes.c_size_t, [pointer, index]),
        "gguf_get_tensor_ne": (ctypes.POINTER(ctypes.c_int64), [pointer, index]),
        "ggml_type_name": (text, [ctypes.c_int]),
    }
    for _, suffix, kind in TYPES.values():
        signatures[f"gguf_get_val_{suffix}"] = (kind, [pointer, index])
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


class Reader:
    """One opened file."""

    def __init__(self, library: ctypes.CDLL, path: bytes) -> None:
        declare(library)
        self.gguf = library
        self.file = library.gguf_init_from_file(path, InitParams(True, None))

    def header(self) -> dict[str, Any]:
        """Everything but the arrays' items."""
        gguf, file = self.gguf, self.file
        keys = [gguf.gguf_get_key(file, i) for i in range(gguf.gguf_get_n_kv(file))]
        return {
            "version": gguf.gguf_get_version(file),
            "alignment": gguf.gguf_get_alignment(file),
            "data_offset": gguf.gguf_get_data_offset(file),
            "metadata": {text(key): self.value(i) for i, key in enumerate(keys)},
            "types": {text(key): self.type_name(i) for i, key in enumerate(keys)},
            "tensors": [self.tensor(i) for i in range(gguf.gguf_get_n_tensors(file))],
            "special": self.special(),
        }

    def type_name(self, key: int) -> str:
        """`UINT32`, or `ARRAY[STRING]`."""
        kind = self.gguf.gguf_get_kv_type(self.file, key)
        if kind != ARRAY:
            return TYPES[kind][0]
        return f"ARRAY[{TYPES[self.gguf.gguf_get_arr_type(self.file, key)][0]}]"

    def value(self, key: int) -> Any:
        """A scalar, a short array of numbers, or `{count, type, first}` of another array."""
        kind = self.gguf.gguf_get_kv_type(self.file, key)
        if kind != ARRAY:
            return plain(getattr(self.gguf, f"gguf_get_val_{TYPES[kind][1]}")(self.file, key))
        count = self.gguf.gguf_get_arr_n(self.file, key)
        of = self.gguf.gguf_get_arr_type(self.file, key)
        if count <= SMALL_ARRAY and of != STRING:
            return self.items(key, count)
        return {"count": count, "type": TYPES[of][0], "first": self.items(key, min(count, SHOWN_ITEMS))}

    def items(self, key: int, count: int) -> list[Any]:
        """The first `count` items of an array."""
        of = self.gguf.gguf_get_arr_type(self.file, key)
        if of == STRING:
            get, file = self.gguf.gguf_get_arr_str, self.file
            return [text(get(file, key, i)) for i in range(count)]
        data = self.gguf.gguf_get_arr_data(self.file, key)
        numbers = ctypes.cast(data, ctypes.POINTER(TYPES[of][2] * count)).contents if count else ()
        return [plain(number) for number in numbers] if of == 6 else list(numbers)

    def tensor(self, index: int) -> list[Any]:
        """Name, type, shape (fastest dimension first), offset from the data's start, bytes."""
        gguf, file = self.gguf, self.file
        shape = gguf.gguf_get_tensor_ne(file, index)[:4]
        while len(shape) > 1 and shape[-1] == 1:
            shape.pop()
        kind = gguf.ggml_type_name(gguf.gguf_get_tensor_type(file, index))
        offset, size = gguf.gguf_get_tensor_offset(file, index), gguf.gguf_get_tensor_size(file, index)
        return [text(gguf.gguf_get_tensor_name(file, index)), text(kind).upper(), shape, offset, size]

    def special(self) -> dict[str, str]:
        """The texts of the special tokens that the metadata names by id."""
        gguf, file = self.gguf, self.file
        tokens = gguf.gguf_find_key(file, b"tokenizer.ggml.tokens")
        if tokens < 0 or self.type_name(tokens) != "ARRAY[STRING]":
            return {}
        count, found = gguf.gguf_get_arr_n(file, tokens), {}
        for name in SPECIAL:
            key = gguf.gguf_find_key(file, f"tokenizer.ggml.{name}_token_id".encode())
            number = self.value(key) if key >= 0 else None
            if isinstance(number, int) and 0 <= number < count:
                found[name] = text(gguf.gguf_get_arr_str(file, tokens, number))
        return found


def text(raw: bytes) -> str:
    """UTF-8; bytes that are none stand as escapes."""
    return raw.decode("utf-8", "backslashreplace")


def plain(value: Any) -> Any:
    """Texts decoded; a float32 as the shortest number that is the same float32."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, float):
        try:
            packed = struct.pack("f", value)
        except OverflowError:
            return value
        for digits in (6, 7, 8, 9):
            short = float(f"{value:.{digits}g}")
            if abs(short) <= 3.4e38 and struct.pack("f", short) == packed == struct.pack("f", value):
                return short if struct.unpack("f", packed)[0] == value else value
    return value


def main(arguments: list[str]) -> int:
    """Exit code 0 and JSON on stdout, or 1 and llama.cpp's words on stderr."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # Windows, or a lower limit is set already
    reader = Reader(ctypes.CDLL(arguments[0]), os.fsencode(arguments[1]))
    if not reader.file:
        return 1
    if len(arguments) > 2:
        key = reader.gguf.gguf_find_key(reader.file, arguments[2].encode())
        answer: Any = reader.items(key, reader.gguf.gguf_get_arr_n(reader.file, key))
    else:
        answer = reader.header()
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # nothing to free one by one


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
