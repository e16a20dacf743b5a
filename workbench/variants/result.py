"""A request's tokens under a reference and its variants: divergence, flips and answers, or why there are none."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from workbench.compare.floor import NoiseFloor
from workbench.compare.places import Place
from workbench.compare.scores import Flip, GroupRow, ScoresPair
from workbench.quality.ladder import Rung
from workbench.setup import Setup
from workbench.stages import Scores, Tokens, show_bytes
from workbench.values import FrozenJSON, Plotted, Value

BEHIND = "behind the end"  # the kind of the last row, whose token nobody wrote


class Flips(NamedTuple):
    """First places of a variant that are not the reference's; those beyond the floor; those in calls and code."""

    all: int
    beyond_floor: int | None
    in_calls_and_code: int


class Block(NamedTuple):
    """The rows [start, end) and each variant's mean KL over them in nats, NaN where it has none."""

    start: int
    end: int
    mean_kl: tuple[float, ...]


@dataclass(frozen=True)
class Variant(Value):
    """One setup of the comparison. `pair` holds the reference (a) against it (b): None for the reference itself.

    `weights`: its file and the tensor types really in it, None where that cannot be read; `cache_bytes`: of its KV
    cache. `answer`: what it writes, greedily, None where it was not asked; `answer_ids` its tokens. `error`: why the
    variant has no figures, as `WorkbenchError.to_dict`. `elapsed_ms` of "scores" and "answer" does not count in
    equality.
    """

    name: str
    setup: Setup
    weights: Rung | None = None
    cache_bytes: int = 0
    pair: ScoresPair | None = None
    answer: str | None = None
    answer_ids: tuple[int, ...] = ()
    error: FrozenJSON | None = None
    elapsed_ms: FrozenJSON = field(default_factory=lambda: FrozenJSON({}), compare=False)

    @property
    def trouble(self) -> str:
        """Why it has no figures, in words; empty where it has."""
        return str(self.error.value()["message"]) if self.error is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; of `pair` what is the variant's own, `scores` and `kl`."""
        return {
            "name": self.name,
            "setup": self.setup.to_dict(),
            "weights": self.weights.to_dict() if self.weights else None,
            "cache_bytes": self.cache_bytes,
            "scores": self.pair.b.to_dict() if self.pair else None,
            "kl": self.pair.kl.tolist() if self.pair else None,
            "answer": self.answer,
            "answer_ids": list(self.answer_ids),
            "error": self.error.value() if self.error else None,
            "elapsed_ms": self.elapsed_ms.value(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **shared: Any) -> Variant:
        """The inverse of `to_dict`; `shared` is what all pairs have: `a`, `pieces`, `names` and so on."""
        own = {k: data[k] for k in ("name", "cache_bytes", "answer")}
        pair = None
        if data["scores"] is not None:
            scores = Scores.from_dict(data["scores"])
            pair = ScoresPair(b=scores, kl=np.array(data["kl"], np.float64), **shared)
        return cls(
            **own,
            setup=Setup.from_dict(data["setup"]),
            weights=Rung.from_dict(data["weights"]) if data["weights"] else None,
            pair=pair,
            answer_ids=tuple(data["answer_ids"]),
            error=FrozenJSON(data["error"]) if data["error"] else None,
            elapsed_ms=FrozenJSON(data["elapsed_ms"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        pair = self.pair
        return [
            {
                "variant": self.name,
                "MiB": self.weights.bytes / 2**20 if self.weights else None,
                "KV cache MiB": self.cache_bytes / 2**20,
                "tensor types": self.weights.words if self.weights else None,
                "mean_kl": pair.mean_kl if pair else None,
                "same_top": pair.same_top if pair else None,
                "answer": self.answer,
                "error": self.trouble or None,
            }
        ]

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Variant({self.name}: {self.trouble})"
        return f"Variant({self.name}{f': mean KL {self.pair.mean_kl:.3g} nats' if self.pair else ''})"


@dataclass(frozen=True)
class Variants(Plotted, Value):
    """The tokens of a prompt and of the reference's answer to it, n in all, under every setup.

    Row i is about what follows token i. `scores`: the reference's. From token `n_prompt` on they are its answer.
    `kinds`, `places`: of every token, see `text_kinds` and `places`. `names`: pieces by id, of all
    candidates. `floor`: how far the reference is from itself.
    """

    reference: Variant
    others: tuple[Variant, ...]
    tokens: Tokens
    scores: Scores
    n_prompt: int
    kinds: tuple[str, ...]
    places: tuple[Place, ...] = ()
    names: tuple[tuple[int, bytes], ...] = ()
    floor: NoiseFloor | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, name: str) -> Variant:
        found = next((variant for variant in (self.reference, *self.others) if variant.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def called(self, name: str) -> Variants:
        """The same with another name for the reference."""
        return replace(self, reference=replace(self.reference, name=name))

    @cached_property
    def row_kinds(self) -> tuple[str, ...]:
        """The kind of the token that each row is about, (n,)."""
        return (*self.kinds[1:], BEHIND) if self.kinds else ()

    def flips(self, variant: Variant) -> tuple[Flip, ...]:
        """Where a variant's first place is not the reference's, in order; none for one without figures."""
        return variant.pair.flips if variant.pair is not None else ()

    def count(self, variant: Variant) -> Flips:
        """How many flips there are, and which of them matter."""
        flips = self.flips(variant)
        beyond = sum(bool(flip.beyond_floor) for flip in flips) if self.floor is not None else None
        matter = sum(self.row_kinds[flip.position] in ("tool call", "code") for flip in flips)
        return Flips(len(flips), beyond, matter)

    def by_kind(self, variant: Variant) -> tuple[GroupRow, ...]:
        """A variant's figures for each kind of text, without the row behind the end."""
        rows = variant.pair.grouped(self.row_kinds) if variant.pair is not None else ()
        return tuple(row for row in rows if row.name != BEHIND)

    def blocks(self, most: int = 24) -> tuple[Block, ...]:
        """Damage by position: at most `most` blocks of neighbouring rows, each of the same length but the last."""
        n, found = len(self), []
        length = max(1, -(-n // most))
        for start in range(0, n, length):
            rows = slice(start, min(start + length, n))
            means = [float(v.pair.kl[rows].mean()) if v.pair is not None else float("nan") for v in self.others]
            found.append(Block(start, rows.stop, tuple(means)))
        return tuple(found)

    def parts_at(self, variant: Variant) -> int | None:
        """The first token of its answer that is not the reference's; None where they are the same or one is missing."""
        if variant.answer is None or self.reference.answer is None or variant.answer_ids == self.reference.answer_ids:
            return None
        mine, theirs = variant.answer_ids, self.reference.answer_ids
        pairs = enumerate(zip(mine, theirs, strict=False))
        return next((i for i, (a, b) in pairs if a != b), min(len(mine), len(theirs)))

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, bytes in base64; of each variant also `flips` and `by_kind`."""
        others = [
            variant.to_dict()
            | {"flips": [self._flip(flip) for flip in self.flips(variant)]}
            | {"by_kind": [row._asdict() for row in self.by_kind(variant)]}
            for variant in self.others
        ]
        return {
            "reference": self.reference.to_dict(),
            "others": others,
            "tokens": self.tokens.to_dict(),
            "scores": self.scores.to_dict(),
            "n_prompt": self.n_prompt,
            "kinds": list(self.kinds),
            "places": [place._asdict() for place in self.places],
            "names": {str(token): base64.b64encode(piece).decode("ascii") for token, piece in self.names},
            "floor": self.floor.to_dict() if self.floor else None,
            "notes": list(self.notes),
        }

    def _flip(self, flip: Flip) -> dict[str, Any]:
        return flip._asdict() | {"place": flip.place.by("message"), "kind": self.row_kinds[flip.position]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Variants:
        """The inverse of `to_dict`, as far as `Scores.from_dict` is one."""
        tokens, scores = Tokens.from_dict(data["tokens"]), Scores.from_dict(data["scores"])
        floor = NoiseFloor.from_dict(data["floor"]) if data["floor"] else None
        names = tuple((int(token), base64.b64decode(piece)) for token, piece in data["names"].items())
        reference = Variant.from_dict(data["reference"])
        where = tuple(Place(**place) for place in data["places"])
        shared = {"a": scores, "pieces": tokens.pieces, "places": where, "names": names, "floor": floor}
        others = []
        for one in data["others"]:
            changes = changes_between(reference.setup, Setup.from_dict(one["setup"]))
            others.append(Variant.from_dict(one, **shared, changes=changes))
        lists: dict[str, Any] = {name: tuple(data[name]) for name in ("kinds", "notes")}
        more: dict[str, Any] = {"places": where, "names": names, "floor": floor}
        return cls(reference, tuple(others), tokens, scores, data["n_prompt"], **lists, **more)

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"position": row, "piece": show_bytes(self.tokens.pieces[row]), "answer": row + 1 >= self.n_prompt}
            | {"kind": self.row_kinds[row], "variant": variant.name, "kl": float(pair.kl[row])}
            | {"flipped": bool(pair.flipped[row]), "first": self._name(pair.b.top_ids[row, 0])}
            | {"reference_first": self._name(self.scores.top_ids[row, 0]), "margin": float(pair.b.margin[row])}
            | {"reference_margin": float(self.scores.margin[row])}
            for variant in self.others
            if (pair := variant.pair) is not None
            for row in range(len(self))
        ]

    def _name(self, token: Any) -> str:
        return show_bytes(self.piece_of[int(token)]) if int(token) in self.piece_of else f"id {int(token)}"

    @cached_property
    def piece_of(self) -> dict[int, bytes]:
        """What each candidate stands for, by id."""
        return dict(self.names)

    def __repr__(self) -> str:
        floor = f", floor {self.floor.mean_kl:.2g} nats" if self.floor else ""
        parts = [
            f"{v.name}: {v.trouble}"
            if v.pair is None
            else f"{v.name}: mean KL {v.pair.mean_kl:.3g} nats, {len(self.flips(v))} flips"
            for v in self.others
        ]
        return f"Variants({self.reference.name} against {'; '.join(parts)}; {len(self):,} tokens{floor})"


def changes_between(reference: Setup, setup: Setup) -> FrozenJSON:
    """The settings that differ, each with both values."""
    return FrozenJSON({name: list(pair) for name, pair in reference.diff(setup).items()})
