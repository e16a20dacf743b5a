"""One token of a vocabulary with all that is known of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from workbench.stages import TOKEN_TYPES, show_bytes
from workbench.tokenizers.lookalikes import Lookalike
from workbench.tokenizers.merges import Derivation
from workbench.tokenizers.vocabulary import Vocabulary
from workbench.values import Value


@dataclass(frozen=True)
class VocabularyEntry(Value):
    """A token: `text` as the file writes it, `piece` as llama.cpp prints it, `type` as llama.cpp takes it.

    `file_type`: as the file says; `ends`: ends an answer; `named`: the roles that the metadata give it, such as "eos";
    `derivation`: the merges that lead to it, None where they were not read; `alike`: what it passes for, and what
    passes for it.
    """

    id: int
    piece: bytes
    text: bytes
    type: str
    file_type: str
    ends: bool
    named: tuple[str, ...]
    derivation: Derivation | None
    alike: tuple[Lookalike, ...]

    def to_dict(self) -> dict[str, Any]:
        """`{id, piece, bytes, text, type, file_type, ends, named, derivation, alike}`; `bytes` in base64."""
        made = self.derivation
        return {
            "id": self.id,
            "piece": show_bytes(self.piece),
            "bytes": base64.b64encode(self.piece).decode("ascii"),
            "text": show_bytes(self.text),
            "type": self.type,
            "file_type": self.file_type,
            "ends": self.ends,
            "named": list(self.named),
            "derivation": None if made is None else made._asdict() | {"merges": [m._asdict() for m in made.merges]},
            "alike": [item._asdict() for item in self.alike],
        }

    def _rows(self) -> list[dict[str, Any]]:
        merges = self.derivation.merges if self.derivation else ()
        return [
            {"rank": m.rank, "left": m.left, "right": m.right, "made": m.left + m.right, "id": m.id} for m in merges
        ]

    def __repr__(self) -> str:
        merges = f", {len(self.derivation.merges)} merges" if self.derivation else ""
        return f"VocabularyEntry({self.id}, {show_bytes(self.piece)!r}, {self.type}{merges})"


def entry(vocabulary: Vocabulary, token: int) -> VocabularyEntry:
    """The token of an id. Errors: `BadRequest` for no such id."""
    vocabulary.require_id(token)
    return VocabularyEntry(
        token,
        vocabulary.pieces[token],
        vocabulary.texts[token],
        vocabulary.type_of(token),
        TOKEN_TYPES[vocabulary.file_types[token]],
        bool(vocabulary.ends[token]),
        tuple(name for name, which in vocabulary.named if which == token),
        vocabulary.derivation(token) if vocabulary.ranks is not None else None,
        tuple(item for item in vocabulary.lookalikes if token in (item.id, item.of)),
    )
