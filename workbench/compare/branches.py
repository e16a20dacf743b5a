"""One prompt, several answers: at a step of the first another candidate was taken, and the model went on from there."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from workbench.stages import Generation, Tokens, show_bytes
from workbench.values import Value, clip


@dataclass(frozen=True)
class Branch(Value):
    """At answer token `step` the id `token` stands in place of the sampled one; `generation` is what followed it.

    `shared` are the pieces of the answer before it. `evaluated` counts the tokens up to `token` that were computed
    for it, for those before were in the KV cache; None where it was cancelled. `logprob` and `rank` of the token
    at that step under the model itself, None where it was not among the candidates that were kept.
    """

    step: int
    token: int
    piece: bytes
    shared: bytes
    generation: Generation
    evaluated: int | None
    logprob: float | None = None
    rank: int | None = None

    @property
    def raw(self) -> bytes:
        """The whole answer of this branch, control tokens included."""
        return self.shared + self.piece + self.generation.raw

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; bytes in base64."""
        return {
            "step": self.step,
            "token": self.token,
            "piece": base64.b64encode(self.piece).decode("ascii"),
            "shared": base64.b64encode(self.shared).decode("ascii"),
            "generation": self.generation.to_dict(),
            "evaluated": self.evaluated,
            "logprob": self.logprob,
            "rank": self.rank,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Branch:
        """The inverse of `to_dict`."""
        plain = {name: base64.b64decode(data[name]) for name in ("piece", "shared")}
        return cls(**(data | plain | {"generation": Generation.from_dict(data["generation"])}))

    def _rows(self) -> list[dict[str, Any]]:
        return self.generation._rows()  # noqa: SLF001  the same table

    def __repr__(self) -> str:
        return f"Branch(step {self.step}, {show_bytes(self.piece)!r}, {clip(repr(show_bytes(self.raw)), 80)})"


@dataclass(frozen=True)
class Branches(Value):
    """The answer as it was sampled and what came of other candidates, in the order in which they were asked for."""

    tokens: Tokens
    base: Generation
    branches: tuple[Branch, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """`{tokens, base, branches}`."""
        return {
            "tokens": self.tokens.to_dict(),
            "base": self.base.to_dict(),
            "branches": [branch.to_dict() for branch in self.branches],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Branches:
        """The inverse of `to_dict`."""
        branches = tuple(Branch.from_dict(branch) for branch in data["branches"])
        return cls(Tokens.from_dict(data["tokens"]), Generation.from_dict(data["base"]), branches)

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {"step": None, "token": None, "piece": None, "logprob": None, "rank": None}
            | {"answer": show_bytes(self.base.raw), "tokens": len(self.base), "stop": self.base.stop_reason}
            | {"evaluated": None}
        ]
        return rows + [
            {"step": b.step, "token": b.token, "piece": show_bytes(b.piece), "logprob": b.logprob, "rank": b.rank}
            | {"answer": show_bytes(b.raw), "tokens": b.step + 1 + len(b.generation)}
            | {"stop": b.generation.stop_reason, "evaluated": b.evaluated}
            for b in self.branches
        ]

    def __repr__(self) -> str:
        return f"Branches({clip(repr(show_bytes(self.base.raw)), 80)} and {len(self.branches)} more)"
