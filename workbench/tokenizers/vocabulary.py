"""A vocabulary as a value: every token with its bytes, its type and what the file says of it, to be searched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.errors import BadRequest, Cancelled
from workbench.gguf.token_types import NAMES
from workbench.setup import Setup
from workbench.stages import TOKEN_TYPES, Ints, show_bytes
from workbench.tokenizers.lookalikes import Lookalike, find_lookalikes
from workbench.tokenizers.merges import Derivation, Ranks, derivation
from workbench.values import Value, frozen_array, same_array

if TYPE_CHECKING:
    from workbench.gguf.header import Header
    from workbench.progress import Cancel, Progress

TOKENIZER = "tokenizer.ggml."
ROLES = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask")
WORKED_OUT = ("retyped", "lookalikes")  # of the whole vocabulary, whatever was searched for


@dataclass(frozen=True, eq=False)
class Vocabulary(Value):
    """All v tokens of a vocabulary, and of these the ones in `ids` (after a search), in order.

    `texts`: as the file writes them ("Ġhello"), `pieces`: as llama.cpp prints them (" hello"). `types`, `file_types`:
    (v,) uint8 into `TOKEN_TYPES`, as llama.cpp takes them and as the file says. `ends`: (v,) bool, ends an answer.
    `named`: the ids that the metadata name, such as `("eos", 2)`. `ranks`: what merges need, None where not read.
    """

    name: str
    kind: str
    pre: str | None
    texts: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    types: npt.NDArray[np.uint8]
    file_types: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.bool_]
    named: tuple[tuple[str, int], ...]
    ids: Ints
    ranks: Ranks | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("types", np.uint8), ("file_types", np.uint8), ("ends", np.bool_), ("ids", np.int32)):
            object.__setattr__(self, name, frozen_array(getattr(self, name), dtype))

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        arrays = ("types", "file_types", "ends", "ids")
        plain = ("name", "kind", "pre", "texts", "pieces", "named")
        return isinstance(other, Vocabulary) and (
            all(getattr(self, name) == getattr(other, name) for name in plain)
            and all(same_array(getattr(self, name), getattr(other, name)) for name in arrays)
        )

    def __hash__(self) -> int:
        return hash((self.name, len(self.texts), self.ids.tobytes()))

    @property
    def n_vocab(self) -> int:
        """All tokens, whatever was searched for."""
        return len(self.texts)

    def require_id(self, token: int) -> None:
        """Errors: `BadRequest` for what is no id of this vocabulary."""
        if not isinstance(token, int | np.integer) or not 0 <= token < self.n_vocab:
            raise BadRequest(f"token id {token!r}", f"the vocabulary has ids 0 to {self.n_vocab - 1}")

    def type_of(self, token: int) -> str:
        """What llama.cpp takes a token for, one of `TOKEN_TYPES`."""
        return TOKEN_TYPES[self.types[token]]

    def of_type(self, *types: str) -> list[int]:
        """The ids of all tokens of these types."""
        wanted = [TOKEN_TYPES.index(name) for name in types]
        return [int(i) for i in np.flatnonzero(np.isin(self.types, wanted))]

    def search(self, wanted: str | bytes | int | None = None, *, type: str | None = None) -> Vocabulary:  # noqa: A002
        """The tokens among these with a text (in any case), with bytes, of an id, of a type of `TOKEN_TYPES`.

        Errors: `BadRequest` for a type that is none, or what is neither text nor bytes nor an id.
        """
        if not isinstance(wanted, str | bytes | int | np.integer | None):
            raise BadRequest(f"{wanted!r} was searched for", "accepted are a text, bytes or an id")
        if type is not None and type not in TOKEN_TYPES:
            raise BadRequest(f"the type is {type!r}", f"accepted are {', '.join(TOKEN_TYPES)}")
        ids = self.ids.tolist()
        if type is not None:
            ids = [i for i in ids if self.types[i] == TOKEN_TYPES.index(type)]
        if isinstance(wanted, int | np.integer):
            ids = [i for i in ids if i == wanted]
        elif isinstance(wanted, bytes):
            ids = [i for i in ids if wanted in self.pieces[i]]
        elif wanted is not None:
            small = wanted.encode("utf-8", "surrogatepass").lower()
            ids = [i for i in ids if small in self.pieces[i].lower() or small in self.texts[i].lower()]
        return self.only(ids)

    def only(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Vocabulary:
        """The same vocabulary with these of its tokens; what was worked out of all of them is kept."""
        found = replace(self, ids=np.array(ids, np.int32))
        found.__dict__.update({name: self.__dict__[name] for name in WORKED_OUT if name in self.__dict__})
        return found

    @cached_property
    def retyped(self) -> tuple[int, ...]:
        """The ids that llama.cpp takes for another type than the file says, as it does for known ends of a turn."""
        return tuple(int(i) for i in np.flatnonzero(self.types != self.file_types))

    @cached_property
    def lookalikes(self) -> tuple[Lookalike, ...]:
        """Tokens that pass for special ones: control-looking ones of another type, and near-duplicates."""
        return tuple(find_lookalikes(self))

    def derivation(self, token: int) -> Derivation:
        """The merges that lead to a token. Errors: `BadRequest` for no such id, or where merges were not read."""
        self.require_id(token)
        if self.ranks is None:
            raise BadRequest(
                "this vocabulary was read without its merges", "", "read it with read_vocabulary(setup, merges=True)"
            )
        return derivation(show_bytes(self.texts[token]), self.type_of(token), self.ranks)

    def to_dict(self) -> dict[str, Any]:
        """`{name, kind, pre, n_vocab, named, tokens, retyped, lookalikes}`; `tokens` those of `ids`."""
        return {
            "name": self.name,
            "kind": self.kind,
            "pre": self.pre,
            "n_vocab": self.n_vocab,
            "named": dict(self.named),
            "tokens": [row | {"bytes": base64.b64encode(row["bytes"]).decode("ascii")} for row in self._rows()],
            "retyped": list(self.retyped),
            "lookalikes": [item._asdict() for item in self.lookalikes],
        }

    def _rows(self) -> list[dict[str, Any]]:
        names: dict[int, list[str]] = {}
        for name, token in self.named:
            names.setdefault(token, []).append(name)
        return [
            {
                "id": i,
                "piece": show_bytes(self.pieces[i]),
                "bytes": self.pieces[i],
                "text": show_bytes(self.texts[i]),
                "type": TOKEN_TYPES[self.types[i]],
                "file type": TOKEN_TYPES[self.file_types[i]],
                "ends": bool(self.ends[i]),
                "named": " ".join(names.get(i, ())),
            }
            for i in self.ids.tolist()
        ]

    def __repr__(self) -> str:
        shown = "" if len(self) == self.n_vocab else f"{len(self):,} of "
        return f"Vocabulary({self.name}, {self.kind}, {shown}{self.n_vocab:,} tokens)"


def read_vocabulary(
    setup: Setup | str | Path,
    *,
    merges: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Vocabulary:
    """The vocabulary that llama.cpp has under a setup (or of a GGUF file); `merges`: with what merges need.

    Weights are not read. Errors: those of the host; `BadFile`, `Cancelled`.
    """
    from workbench.gguf.header import read_header
    from workbench.runtime.host import Host

    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    _step("reading the tokens", 0, progress, cancel)
    with Host(setup) as host:
        found = host.entries(cancel=cancel)
    _step("reading types and merges", 1, progress, cancel)
    header = read_header(setup.model or "")
    given = setup.metadata.value()
    numbers = _array(header, given, "token_type")
    file_types = [TOKEN_TYPES.index(NAMES.get(number, "normal")) for number in numbers[: len(found.texts)]]
    keys = {role: f"{TOKENIZER}{role}_token_id" for role in ROLES}
    named = [(role, given.get(key, header.get(key))) for role, key in keys.items()]
    kind = str(given.get(TOKENIZER + "model", header.tokenizer_model) or "none")
    return Vocabulary(
        name=Path(header.path).name,
        kind=kind,
        pre=given.get(TOKENIZER + "pre", header.pre_tokenizer),
        texts=found.texts,
        pieces=found.pieces,
        types=found.types,
        file_types=np.array(file_types, np.uint8) if numbers else found.types,
        ends=found.ends,
        named=tuple((role, token) for role, token in named if type(token) is int and 0 <= token < len(found.texts)),
        ids=np.arange(len(found.texts), dtype=np.int32),
        ranks=_ranks(header, given, kind, found.texts) if merges else None,
    )


def _step(what: str, done: int, progress: Progress | None, cancel: Cancel | None) -> None:
    """Tell one of the two steps. Errors: `Cancelled`."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("reading the vocabulary was cancelled")
    if progress is not None:
        progress(what, done, 2)


def _array(header: Header, given: dict[str, Any], name: str) -> list[Any]:
    """A tokenizer's list: the setup's, else the file's; empty where there is none."""
    key = TOKENIZER + name
    if key in given:
        return given[key] or []
    return header.array(key) if header.has_array(key) else []


def _ranks(header: Header, given: dict[str, Any], kind: str, texts: tuple[bytes, ...]) -> Ranks:
    ids = {show_bytes(text): i for i, text in enumerate(texts)}
    if kind == "llama":
        return Ranks(ids, {}, tuple(_array(header, given, "scores")))
    return Ranks(ids, {merge: rank for rank, merge in enumerate(_array(header, given, "merges"))}, ())
