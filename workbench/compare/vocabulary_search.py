"""Finding tokens of a vocabulary: by the strip's queries, within the groups that one looks at first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from workbench.compare.token_search import CONTROL_LIKE, TYPES, hex_bytes, token_id
from workbench.errors import BadRequest
from workbench.stages import TOKEN_TYPES, Ints
from workbench.tokenizers.vocabulary import Vocabulary

ALL = "all"
# Beside the types: what passes for a special token, what llama.cpp takes for another type than the file says, what
# ends an answer, what the metadata name (bos, eos, ...).
GROUPS = (ALL, *TOKEN_TYPES, "looks special", "retyped", "ends an answer", "named")
Flags = npt.NDArray[np.bool_]


class Lookup:
    """Searches in a vocabulary of v tokens; what they share is worked out once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @cached_property
    def groups(self) -> dict[str, Flags]:
        """Which tokens belong to each of `GROUPS`, (v,) bool each."""
        found = self.vocabulary
        listed = {
            "looks special": [item.id for item in found.lookalikes],
            "retyped": found.retyped,
            "named": [token for _, token in found.named if token < found.n_vocab],
        }
        groups = {ALL: np.ones(found.n_vocab, np.bool_), "ends an answer": found.ends}
        groups |= {kind: found.types == i for i, kind in enumerate(TOKEN_TYPES)}
        groups |= {name: self._flags(ids) for name, ids in listed.items()}
        return {name: groups[name] for name in GROUPS}

    @property
    def counts(self) -> dict[str, int]:
        """How many tokens each group has."""
        return {name: int(flags.sum()) for name, flags in self.groups.items()}

    def find(self, query: str = "", group: str = ALL) -> Vocabulary:
        """The tokens of a group that a query finds, by id.

        Queries: a text in what is printed or in what the file writes, ASCII letters in both cases; `id:123`,
        `bytes:e2 80`, `type:control`, `type:control-like`, `text:id:1` for a text that looks like one of these.
        Errors: `BadRequest` for another group, an id, bytes or a type that cannot be read.
        """
        if group not in self.groups:
            raise BadRequest(f"the group is {group!r}", f"accepted are {', '.join(GROUPS)}")
        return self.vocabulary.only(np.flatnonzero(self.groups[group] & self._matches(query)))

    def _matches(self, query: str) -> Flags:
        kind, colon, rest = query.partition(":")
        if colon and kind == "id":
            wanted = token_id(rest)
            return self._flags([wanted] if wanted < self.vocabulary.n_vocab else [])
        if colon and kind == "type":
            return self._typed(rest.strip())
        if colon and kind == "bytes":
            return self._holders(self._pieces, hex_bytes(rest))
        text = (rest if colon and kind == "text" else query).encode("utf-8", "surrogatepass").lower()
        return self._holders(self._small_pieces, text) | self._holders(self._small_texts, text)

    def _typed(self, kind: str) -> Flags:
        if kind not in TYPES:
            raise BadRequest(f"type:{kind} is no token type", f"accepted are {', '.join(TYPES)}")
        if kind == CONTROL_LIKE:
            ids = [item.id for item in self.vocabulary.lookalikes if item.of is None]
            return self._flags(ids) & self.groups["normal"]
        return self.groups[kind]

    def _flags(self, ids: Sequence[int]) -> Flags:
        flags = np.zeros(self.vocabulary.n_vocab, np.bool_)
        flags[list(ids)] = True
        return flags

    @cached_property
    def _pieces(self) -> _Joined:
        return _Joined(self.vocabulary.pieces)

    @cached_property
    def _small_pieces(self) -> _Joined:
        return _Joined(tuple(piece.lower() for piece in self.vocabulary.pieces))

    @cached_property
    def _small_texts(self) -> _Joined:
        return _Joined(tuple(text.lower() for text in self.vocabulary.texts))

    def _holders(self, where: _Joined, wanted: bytes) -> Flags:
        """The tokens that hold `wanted`; all of them hold nothing."""
        return where.holders(wanted) if wanted else np.ones(self.vocabulary.n_vocab, np.bool_)


class _Joined:
    """The bytes of all tokens in one array, and where each ends."""

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self.letters = np.frombuffer(b"".join(parts), np.uint8)
        self.ends: Ints | npt.NDArray[np.int64] = np.cumsum([len(part) for part in parts], dtype=np.int64)

    def holders(self, wanted: bytes) -> Flags:
        """Which tokens hold `wanted` whole."""
        at = np.flatnonzero(self.letters[: len(self.letters) - len(wanted) + 1] == wanted[0])
        for k, byte in enumerate(wanted[1:], 1):
            at = at[self.letters[at + k] == byte]
        token = np.searchsorted(self.ends, at, side="right")
        flags = np.zeros(len(self.ends), np.bool_)
        flags[token[at + len(wanted) <= self.ends[token]]] = True
        return flags
