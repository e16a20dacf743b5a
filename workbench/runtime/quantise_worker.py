"""The quantiser's process: `python -m workbench.runtime.quantise_worker ORDER`, started by `quantise.py`.

One call of `llama_model_quantize`; its log goes to stderr, and what is wrong with the order stands there last.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadRequest, WorkbenchError
from workbench.gguf.header import Header, Tensor, read_header
from workbench.gguf.library import shared_library
from workbench.runtime import params
from workbench.runtime.library import bindings
from workbench.runtime.recipe import Recipe
from workbench.runtime.worker import watch_parent
from workbench.setup import default_threads

PREFIX = "LLAMA_FTYPE_MOSTLY_"
SUMS, COUNTS = ".in_sum2", ".counts"  # tensors of an importance matrix, behind a weight's name


def quantise(order: dict[str, Any]) -> int:
    """Do what `order` says: `{source, target, recipe}`; 0 where llama.cpp did it. Errors: `BadRequest`, `BadFile`."""
    library, recipe = bindings(), Recipe.from_dict(order["recipe"])
    given = library.llama_model_quantize_default_params()
    given.ftype, given.nthread = _file_type(library, recipe.kind), default_threads()
    given.pure, given.allow_requantize = recipe.pure, recipe.requantise
    types = type_numbers() if recipe.types else {}
    if recipe.token_embedding:
        given.token_embedding_type = _tensor_type(types, recipe.token_embedding)
    if recipe.output:
        given.output_tensor_type = _tensor_type(types, recipe.output)
    keep: list[Any] = []  # what C points into
    if recipe.tensor_types:
        given.tt_overrides = _patterns(library, recipe, types, keep)
    if recipe.imatrix:
        given.imatrix, given.kv_overrides = _importance(library, recipe.imatrix, keep)
    library.llama_backend_init()
    source, target = os.fsencode(order["source"]), os.fsencode(order["target"])
    return 1 if library.llama_model_quantize(source, target, ctypes.byref(given)) else 0


def _file_type(library: Any, kind: str) -> int:
    number = library.LLAMA_FTYPE_ALL_F32 if kind.upper() == "F32" else getattr(library, PREFIX + kind.upper(), None)
    if number is None:
        names = sorted(name.removeprefix(PREFIX) for name in dir(library) if name.startswith(PREFIX))
        raise BadRequest(f"llama.cpp knows no file type {kind!r}", f"accepted are {', '.join(names)}")
    return int(number)


def type_numbers() -> dict[str, int]:
    """The tensor types of ggml by their names in capitals, as `Header.tensor_types` writes them."""
    ggml = ctypes.CDLL(str(shared_library("ggml-base")))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_blck_size.restype = ctypes.c_int64
    names = {number: ggml.ggml_type_name(number) for number in range(bindings().GGML_TYPE_COUNT)}
    return {name.decode().upper(): number for number, name in names.items() if name and ggml.ggml_blck_size(number)}


def _tensor_type(types: dict[str, int], name: str) -> int:
    if name.upper() not in types:
        raise BadRequest(f"llama.cpp knows no tensor type {name!r}", f"accepted are {', '.join(sorted(types))}")
    return types[name.upper()]


def _patterns(library: Any, recipe: Recipe, types: dict[str, int], keep: list[Any]) -> Any:
    """An array of `llama_model_tensor_override`, closed by an empty one."""
    table = (library.llama_model_tensor_override * (len(recipe.tensor_types) + 1))()
    for entry, (pattern, kind) in zip(table, recipe.tensor_types, strict=False):
        entry.pattern, entry.type = pattern.encode(), _tensor_type(types, kind)
    keep.append(table)
    return table


def _importance(library: Any, path: str, keep: list[Any]) -> tuple[Any, Any]:
    """Arrays of `llama_model_imatrix_data` and of the metadata that say so, each closed by an empty entry.

    Behaviour: sums over counts, 1 where a count is 0, and the keys that llama-quantize writes:
    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/quantize/quantize.cpp
    """
    found = importance(read_header(path))
    table = (library.llama_model_imatrix_data * (len(found) + 1))()
    for entry, (name, values) in zip(table, found.items(), strict=False):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    told = {"quantize.imatrix.file": Path(path).name, "quantize.imatrix.entries_count": len(found)}
    keys = params.kv_overrides(library, told)
    keep += [found, table, keys]
    return table, keys


def importance(header: Header) -> dict[str, np.ndarray[Any, Any]]:
    """For each weight the mean square of what goes into each of its columns, float32. Errors: `BadRequest`."""
    tensors = {tensor.name: tensor for tensor in header.tensors}
    names = [name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS)]
    if not names or any(name + COUNTS not in tensors for name in names):
        raise BadRequest(f"{header.path} is no importance matrix", "accepted is a GGUF file that llama-imatrix wrote")
    found = {}
    for name in names:
        sums = _floats(header, tensors[name + SUMS]).reshape(-1, tensors[name + SUMS].shape[0])  # (matrices, columns)
        counts = _floats(header, tensors[name + COUNTS]).reshape(-1, 1)
        mean = np.divide(sums, counts, out=np.ones_like(sums), where=counts > 0)
        found[name] = np.ascontiguousarray(mean.ravel())
    return found


def _floats(header: Header, tensor: Tensor) -> np.ndarray[Any, Any]:
    if tensor.type != "F32":
        raise BadRequest(f"{tensor.name} of {header.path} is {tensor.type}", "an importance matrix holds F32")
    start = header.data_offset + tensor.offset
    return np.fromfile(header.path, np.float32, count=tensor.nbytes // 4, offset=start)


def main(order: str) -> int:
    """The exit code; a mistake in the order is one line on stderr."""
    threading.Thread(target=watch_parent, name="parent", daemon=True).start()
    try:
        return quantise(json.loads(order))
    except WorkbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
