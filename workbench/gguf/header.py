"""A GGUF file's header as a value: metadata, special tokens, tensors. The weights are never read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from workbench.data import model_path
from workbench.errors import BadFile
from workbench.gguf.diagnose import AGAIN, check_tensors, require_file, why_bad
from workbench.gguf.library import shared_library
from workbench.values import FrozenJSON, Value, clip

READER = Path(__file__).with_name("reader.py")
TIMEOUT_S = 120.0
CACHED_HEADERS = 32
MOST_ITEMS = 1 << 24  # of an array that is read whole; real vocabularies have some 2^18
# Names that transformers gives the tokens that GGUF names by id.
SPECIAL_NAMES = {
    "bos": "bos_token",
    "eos": "eos_token",
    "unknown": "unk_token",
    "seperator": "sep_token",
    "padding": "pad_token",
    "cls": "cls_token",
    "mask": "mask_token",
}
# Architectures whose models give embeddings and no next token.
ENCODERS = ("bert", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3")
EMBEDDERS = (*ENCODERS, "eurobert", "gemma-embedding", "t5encoder")
TEMPLATE = "tokenizer.chat_template"


class Tensor(NamedTuple):
    """One tensor: `shape` fastest dimension first, `offset` from the start of the data, both in the file's terms."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Header(Value):
    """What a GGUF file says of itself.

    `metadata` holds every key; an array of more than 64 numbers, or of texts, is `{count, type, first}`
    there and whole through `array()`. `types` are the GGUF types by key.
    """

    path: str
    version: int
    metadata: FrozenJSON
    types: FrozenJSON
    tensors: tuple[Tensor, ...]
    file_size: int
    data_offset: int
    special: FrozenJSON

    @cached_property
    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = self.metadata.value()
        return values

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a metadata key, `default` where the file has none."""
        return self._values.get(key, default)

    def own(self, name: str, default: Any = None) -> Any:
        """The value of a key of this architecture: `own("context_length")`."""
        return self.get(f"{self.architecture}.{name}", default)

    def has_array(self, key: str) -> bool:
        """Whether the file has this key, and an array under it."""
        return str(self.types.value().get(key, "")).startswith("ARRAY")

    def array(self, key: str) -> list[Any]:
        """All items of an array. Errors: `KeyError` where the file has no such array, `BadFile`."""
        if not self.has_array(key):
            raise KeyError(f"{self.path} has no array {key}")
        known = self.get(key)
        if isinstance(known, dict) and known["count"] > MOST_ITEMS:
            raise BadFile(
                f"{self.path} is damaged: {key} has {known['count']:,} items", f"accepted are {MOST_ITEMS:,}", AGAIN
            )
        items: list[Any] = _read(Path(self.path), key)
        return items

    @property
    def architecture(self) -> str:
        """`llama`, `qwen3`, ... ; empty where the file does not say."""
        return str(self.get("general.architecture", ""))

    @property
    def name(self) -> str:
        """The model's name, else the file's."""
        return str(self.get("general.name") or Path(self.path).stem)

    @property
    def chat_template(self) -> str | None:
        """The default chat template, None where the file has none."""
        return self._text(TEMPLATE)

    @property
    def named_templates(self) -> tuple[tuple[str, str], ...]:
        """Further templates by name, such as `tool_use`."""
        start = TEMPLATE + "."
        return tuple(
            (key.removeprefix(start), value)
            for key, value in self._values.items()
            if key.startswith(start) and isinstance(value, str)
        )

    @property
    def special_tokens(self) -> dict[str, str]:
        """The texts of the special tokens that the file names, by transformers' names."""
        return {SPECIAL_NAMES[name]: text for name, text in self.special.value().items() if name in SPECIAL_NAMES}

    @property
    def n_vocab(self) -> int:
        """Tokens in the vocabulary, 0 where the file has none."""
        tokens = self.get("tokenizer.ggml.tokens")
        return int(tokens["count"]) if isinstance(tokens, dict) else 0

    @property
    def context_length(self) -> int | None:
        """Tokens of context that the model was trained with."""
        return _whole(self.own("context_length"))

    @property
    def n_layer(self) -> int | None:
        """Layers (blocks)."""
        return _whole(self.own("block_count"))

    @property
    def tokenizer_model(self) -> str | None:
        """`gpt2` (BPE), `llama` (SPM), `bert` (WPM), `t5` (UGM), ..."""
        return self._text("tokenizer.ggml.model")

    @property
    def pre_tokenizer(self) -> str | None:
        """The name of the pre-tokenizer, None where the file does not say."""
        return self._text("tokenizer.ggml.pre")

    @property
    def add_bos(self) -> bool | None:
        """Whether BOS is put before a prompt; None: the file leaves it to the tokenizer's default."""
        return self._flag("tokenizer.ggml.add_bos_token")

    @property
    def add_eos(self) -> bool | None:
        """Whether EOS is put behind a prompt; None: the file leaves it to the tokenizer's default."""
        return self._flag("tokenizer.ggml.add_eos_token")

    @property
    def has_weights(self) -> bool:
        """Whether there are tensors; a vocabulary-only file has none."""
        return bool(self.tensors)

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors of this file."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def is_embedding_model(self) -> bool:
        """Whether the model gives embeddings and no probabilities of a next token."""
        pooled = self.own("pooling_type") not in (None, 0)
        return self.architecture in EMBEDDERS or self.own("attention.causal") is False or pooled

    def _text(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) else None

    def _flag(self, key: str) -> bool | None:
        value = self.get(key)
        return value if isinstance(value, bool) else None

    def tensor_types(self) -> dict[str, dict[str, int]]:
        """How many tensors and bytes are of each type, the most bytes first."""
        found: dict[str, dict[str, int]] = {}
        for tensor in self.tensors:
            entry = found.setdefault(tensor.type, {"count": 0, "bytes": 0})
            entry["count"] += 1
            entry["bytes"] += tensor.nbytes
        return dict(sorted(found.items(), key=lambda item: -item[1]["bytes"]))

    def to_dict(self) -> dict[str, Any]:
        """The fields, and what is drawn from them under the names of the properties."""
        return {
            "path": self.path,
            "version": self.version,
            "architecture": self.architecture,
            "name": self.name,
            "file_size": self.file_size,
            "data_offset": self.data_offset,
            "metadata": self.metadata.value(),
            "types": self.types.value(),
            "special": self.special.value(),
            "tensors": [tensor._asdict() | {"shape": list(tensor.shape)} for tensor in self.tensors],
            "tensor_types": self.tensor_types(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Header:
        """The inverse of `to_dict`."""
        return cls(
            path=data["path"],
            version=data["version"],
            metadata=FrozenJSON(data["metadata"]),
            types=FrozenJSON(data["types"]),
            tensors=tuple(Tensor(**(item | {"shape": tuple(item["shape"])})) for item in data["tensors"]),
            file_size=data["file_size"],
            data_offset=data["data_offset"],
            special=FrozenJSON(data["special"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        types = self.types.value()
        return [{"key": key, "type": types[key], "value": value} for key, value in self._values.items()]

    def __repr__(self) -> str:
        kinds = ", ".join(f"{entry['count']} {kind}" for kind, entry in self.tensor_types().items())
        return f"Header({clip(self.name, 60)!r}, {self.architecture}, {kinds or 'no tensors'})"


_cache: OrderedDict[tuple[Any, ...], Header] = OrderedDict()
_lock = threading.Lock()


class FileState(NamedTuple):
    """Equal as long as nobody wrote to the file or put another in its place: bytes, time of the last change, inode."""

    size: int
    changed_ns: int
    inode: int


def file_state(path: str | Path) -> FileState:
    """The state that the file is in. Errors: `BadFile` where it is gone."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise BadFile(
            f"{path} is gone: {error.strerror}", "accepted is the path of a GGUF file", "check the path"
        ) from error
    return FileState(stat.st_size, stat.st_mtime_ns, stat.st_ino)


def require_unchanged(path: str | Path, before: FileState, doing: str) -> None:
    """Errors: `BadFile` where the file is not what it was when `doing` began: what came of it may be of both."""
    if file_state(path) != before:
        raise BadFile(f"{path} was changed while {doing}", "accepted is a file that stays as it is", "try it again")


def read_header(path: str | Path) -> Header:
    """The header of a GGUF file, read in a process of its own; kept until the file changes.

    Errors: `BadFile` in one sentence for everything that is no whole GGUF file.
    """
    path = Path(model_path(str(path))).expanduser()
    require_file(path)
    state = file_state(path)
    key = (str(path), *state)
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    header = _parsed(path, state.size)
    with _lock:
        _cache[key] = header
        while len(_cache) > CACHED_HEADERS:
            _cache.popitem(last=False)
    return header


def is_whole(path: Path) -> bool:
    """Whether a file that was made for the cache is there and whole; a damaged one is made anew."""
    try:
        return bool(read_header(path).version)
    except BadFile:
        return False


def _parsed(path: Path, size: int) -> Header:
    data = _read(path)
    tensors = tuple(Tensor(name, kind, tuple(shape), at, n) for name, kind, shape, at, n in data["tensors"])
    check_tensors(path, [(t.name, t.offset, t.nbytes) for t in tensors], data["data_offset"], size)
    return Header(
        path=str(path),
        version=data["version"],
        metadata=FrozenJSON(data["metadata"]),
        types=FrozenJSON(data["types"]),
        tensors=tensors,
        file_size=size,
        data_offset=data["data_offset"],
        special=FrozenJSON(data["special"]),
    )


def _read(path: Path, key: str | None = None) -> Any:
    """What the reader's process prints for this file. Errors: `BadFile`."""
    command = [sys.executable, "-I", "-S", str(READER), str(shared_library("ggml-base")), str(path)]
    try:
        done = subprocess.run(
            command + ([key] if key else []),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise BadFile(f"{path} was not read within {TIMEOUT_S:g} s", "accepted is a GGUF file") from error
    if done.returncode == 0:
        return json.loads(done.stdout)
    raise why_bad(path, done.stderr.decode("utf-8", "backslashreplace"))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
