"""Two tokenisations of one text, or of two texts: which tokens are the same, and where the two cut otherwise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from workbench.compare.token_blocks import KINDS, Block, Keys, blocks_of
from workbench.errors import BadRequest
from workbench.stages import Tokens, show_bytes
from workbench.values import Value

By = Literal["ids", "pieces"]


@dataclass(frozen=True)
class TokenAlignment(Value):
    """Two tokenisations held against each other; the blocks tile both, and both texts.

    Neighbouring tokens that are the same, inserted or lost are one block; every other block ends at the first place
    where both have a boundary. `by` says what makes two tokens the same: their ids, or (for different vocabularies)
    their pieces.
    """

    a: Tokens
    b: Tokens
    text_a: str
    text_b: str
    blocks: tuple[Block, ...]
    names: tuple[str, str] = ("a", "b")
    by: By = "ids"

    @property
    def same_text(self) -> bool:
        """Whether both read the same text."""
        return self.text_a == self.text_b

    @property
    def same_ids(self) -> bool:
        """Whether the ids are the same, whatever the texts are: the model cannot tell the two apart."""
        return bool(np.array_equal(self.a.ids, self.b.ids))

    @property
    def agree(self) -> bool:
        """Whether all tokens are the same in the sense of `by`."""
        return all(block.kind == "same" for block in self.blocks)

    @property
    def first_difference(self) -> Block | None:
        """The first block that is not the same, None for none."""
        return next((block for block in self.blocks if block.kind != "same"), None)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Blocks of each kind; of `same`, `inserted` and `lost` the tokens."""
        found: Counter[str] = Counter()
        for kind, a, b, _, _ in self.blocks:
            found[kind] += max(a[1] - a[0], b[1] - b[0]) if kind in ("same", "inserted", "lost") else 1
        return {kind: found[kind] for kind in KINDS}

    @property
    def renumbered(self) -> int:
        """Tokens that both cut alike and that have other ids: many of them tell of another vocabulary."""
        return sum(
            a[1] - a[0] == b[1] - b[0] == 1 and self.a.pieces[a[0]] == self.b.pieces[b[0]]
            for kind, a, b, _, _ in self.blocks
            if kind == "changed"
        )

    def to_dict(self) -> dict[str, Any]:
        """`{names, by, same_text, same_ids, counts, first_difference, blocks, a, b}`; a and b are the tokens."""
        where = self.first_difference
        return {
            "names": list(self.names),
            "by": self.by,
            "same_text": self.same_text,
            "same_ids": self.same_ids,
            "counts": self.counts,
            "first_difference": _plain(where) if where else None,
            "blocks": [_plain(block) for block in self.blocks],
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": block.kind,
                "start a": block.a[0],
                "ids a": self.a.ids[slice(*block.a)].tolist(),
                "pieces a": [show_bytes(piece) for piece in self.a.pieces[slice(*block.a)]],
                "start b": block.b[0],
                "ids b": self.b.ids[slice(*block.b)].tolist(),
                "pieces b": [show_bytes(piece) for piece in self.b.pieces[slice(*block.b)]],
                "byte": block.bytes_a[0],
            }
            for block in self.blocks
        ]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts.items() if n) or "no token"
        also = "same ids, other text; " if self.same_ids and not self.same_text else ""
        return f"TokenAlignment({self.names[0]}: {len(self.a)} | {self.names[1]}: {len(self.b)}; {also}{counts})"


def _plain(block: Block) -> dict[str, Any]:
    return {name: list(part) if isinstance(part, tuple) else part for name, part in block._asdict().items()}


def align_tokens(
    a: Tokens,
    b: Tokens,
    text_a: str,
    text_b: str | None = None,
    *,
    names: tuple[str, str] = ("a", "b"),
    by: By = "ids",
) -> TokenAlignment:
    """Hold two tokenisations against each other; `text_b` None: both are of `text_a`.

    Linear in the tokens; where the texts differ, what is only in one of them is found first.
    Errors: `BadRequest` for another `by`.
    """
    if by not in get_args(By):
        raise BadRequest(f"by is {by!r}", f"accepted are {', '.join(get_args(By))}")
    other = text_a if text_b is None else text_b
    keys: Keys = (a.ids.tolist(), b.ids.tolist()) if by == "ids" else (a.pieces, b.pieces)
    blocks = blocks_of((a, b), (text_a, other), keys)
    return TokenAlignment(a, b, text_a, other, tuple(blocks), names, by)
