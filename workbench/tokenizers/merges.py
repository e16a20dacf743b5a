"""The merges that lead from a token's letters to the token, as BPE and SPM make them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Ranks(NamedTuple):
    """What decides the next merge: `pairs` ("left right" -> rank, BPE) or `scores` (by id, SPM; the highest first)."""

    ids: dict[str, int]
    pairs: dict[str, int]
    scores: tuple[float, ...]

    def of(self, left: str, right: str) -> float | None:
        """The lower, the earlier; None where the two are never merged.

        Behaviour: the sessions of BPE and SPM in
        https://github.com/ggml-org/llama.cpp/blob/00ad355e009e83abf98f96a6ded7193b95763681/src/llama-vocab.cpp
        """
        if self.scores:
            token = self.ids.get(left + right)
            return None if token is None else -self.scores[token]
        return self.pairs.get(f"{left} {right}")


class Merge(NamedTuple):
    """One merge: its rank (BPE: its line in the file's list; SPM: the score, negated), the two parts, what they make.

    `id` is the token that they make, None where the vocabulary has none.
    """

    rank: float
    left: str
    right: str
    id: int | None


class Derivation(NamedTuple):
    """The merges in order, the parts that are left at the end (one: the token is reached), and a remark in words."""

    merges: tuple[Merge, ...]
    parts: tuple[str, ...]
    note: str

    @property
    def reached(self) -> bool:
        """Whether merges make the token: one that they do not make only comes whole from the vocabulary, or never."""
        return len(self.parts) == 1


def derivation(text: str, kind: str, ranks: Ranks) -> Derivation:
    """How the token with the file's `text` and of type `kind` comes about when it stands alone."""
    if kind != "normal":
        return Derivation((), (text,), f"a {kind} token is matched whole: no merges lead to it")
    if not ranks.pairs and not ranks.scores:
        return Derivation((), tuple(text), "this kind of vocabulary has no merges")
    parts, merges = list(text), []
    while (best := _best(parts, ranks)) is not None:
        rank, at = best
        left, right = parts[at : at + 2]
        merges.append(Merge(rank, left, right, ranks.ids.get(left + right)))
        parts[at : at + 2] = [left + right]
    if len(parts) == 1:
        return Derivation(tuple(merges), tuple(parts), "")
    note = "merges do not make this token: it comes whole from the vocabulary where the pre-tokenizer asks for that"
    return Derivation(tuple(merges), tuple(parts), note)


def _best(parts: list[str], ranks: Ranks) -> tuple[float, int] | None:
    """The rank and the place of the next merge, the leftmost of the lowest rank; None for none."""
    found = ((ranks.of(left, right), at) for at, (left, right) in enumerate(pairwise(parts)))
    return min(((rank, at) for rank, at in found if rank is not None), default=None)
