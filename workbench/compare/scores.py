"""What two setups give the same tokens: divergence by position, flips of first place, by whose text it is."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.arrays import Arrays
from workbench.compare.floor import FloorRow, NoiseFloor
from workbench.compare.places import Grouping, Place
from workbench.errors import BadRequest
from workbench.stages import Scores, show_bytes
from workbench.values import FrozenJSON, Plotted, Value

AFTER = Place("answer", "")  # where the last row's token stands: behind the prompt
NEGLIGIBLE_KL = 1e-12


class Flip(NamedTuple):
    """Behind prompt token `position` the setups expect different tokens: ids and how far each is before its second.

    Margins in nats. `beyond_floor`: both margins together are more than noise moves two tokens; None: no floor.
    """

    position: int
    a: int
    b: int
    margin_a: float
    margin_b: float
    kl: float
    place: Place
    beyond_floor: bool | None


class GroupRow(NamedTuple):
    """The positions of one origin or message: KL in nats, share of equal first places, change of log-probability."""

    name: str
    n: int
    mean_kl: float
    max_kl: float
    same_top: float
    flips: int
    logprob_change: float


@dataclass(frozen=True, eq=False)
class ScoresPair(Plotted, Arrays, Value):
    """Two setups on the same n ids. Row i is about what follows token i, as in `Scores`.

    `kl` (n,): KL(a || b) in nats over the whole vocabulary, NaN where it is not known. `changes`: the settings
    that differ, each with both values. `places` and `pieces`: of each token, empty where they are not known;
    `names`: pieces by id, of the tokens that take first place where it flips.
    """

    a: Scores
    b: Scores
    kl: npt.NDArray[np.float64]
    changes: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    places: tuple[Place, ...] = ()
    pieces: tuple[bytes, ...] = ()
    names: tuple[tuple[int, bytes], ...] = ()
    floor: NoiseFloor | None = None
    notes: tuple[str, ...] = ()

    ARRAYS: ClassVar[dict[str, Any]] = {"kl": np.float64}

    def __len__(self) -> int:
        return len(self.kl)

    @property
    def flipped(self) -> npt.NDArray[np.bool_]:
        """Where first place differs, (n,)."""
        flipped: npt.NDArray[np.bool_] = self.a.top_ids[:, 0] != self.b.top_ids[:, 0]
        return flipped

    @property
    def overlap(self) -> npt.NDArray[np.float64]:
        """The share (0 to 1) of candidates that both have among their best k, (n,)."""
        k = min(self.a.top_ids.shape[1], self.b.top_ids.shape[1])
        pairs = zip(self.a.top_ids[:, :k], self.b.top_ids[:, :k], strict=True)
        return np.array([len(np.intersect1d(x, y)) / k for x, y in pairs], np.float64)

    @property
    def flips(self) -> tuple[Flip, ...]:
        """Every position where first place differs, in order."""
        return tuple(self._flip(int(row)) for row in np.flatnonzero(self.flipped))

    def _flip(self, row: int) -> Flip:
        margins = float(self.a.margin[row]), float(self.b.margin[row])
        beyond = sum(margins) > self.floor.swing if self.floor is not None else None
        ids = int(self.a.top_ids[row, 0]), int(self.b.top_ids[row, 0])
        return Flip(row, *ids, *margins, float(self.kl[row]), self._place(row), beyond)

    def _place(self, row: int) -> Place:
        if not self.places:
            return Place("unknown", "")
        return self.places[row + 1] if row + 1 < len(self.places) else AFTER

    def groups(self, by: Grouping = "origin") -> tuple[GroupRow, ...]:
        """The figures of each origin or message, in order of appearance."""
        return self.grouped([self._place(row).by(by) for row in range(len(self))])

    def grouped(self, names: Sequence[str]) -> tuple[GroupRow, ...]:
        """The figures of the rows that bear each name, in order of appearance; `names` has one for every row (n,)."""
        return tuple(self._group(name, np.array([n == name for n in names])) for name in dict.fromkeys(names))

    def _group(self, name: str, rows: npt.NDArray[np.bool_]) -> GroupRow:
        change = (self.b.logprob - self.a.logprob)[rows]
        known = change[~np.isnan(change)]
        flips, n = int(self.flipped[rows].sum()), int(rows.sum())
        mean, most = _mean(self.kl[rows]), _most(self.kl[rows])
        return GroupRow(name, n, mean, most, 1 - flips / n, flips, float(known.mean()) if len(known) else float("nan"))

    @property
    def mean_kl(self) -> float:
        """The mean KL in nats over the positions where it is known, NaN for none."""
        return _mean(self.kl)

    @property
    def same_top(self) -> float:
        """The share (0 to 1) of positions with the same first place."""
        return 1 - float(self.flipped.mean()) if len(self) else float("nan")

    @property
    def beyond_floor(self) -> bool | None:
        """Whether the mean KL is more than the noise floor's; None without a floor or a KL."""
        if self.floor is None or np.isnan(self.mean_kl):
            return None
        return self.mean_kl > max(self.floor.mean_kl, NEGLIGIBLE_KL)

    def as_floor_row(self, change: str) -> FloorRow:
        """The figures of a pair that should not differ."""
        gap = np.abs(self.a.logprob - self.b.logprob)
        swing = max((flip.margin_a + flip.margin_b for flip in self.flips), default=0.0)
        return FloorRow(change, len(self), self.mean_kl, _most(self.kl), self.same_top, _most(gap), swing)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, bytes in base64, and `mean_kl`, `same_top`, `beyond_floor`, `flips`, `groups`."""
        return {
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "kl": self.kl.tolist(),
            "mean_kl": self.mean_kl,
            "same_top": self.same_top,
            "beyond_floor": self.beyond_floor,
            "flips": [flip._asdict() | {"place": flip.place.by("message")} for flip in self.flips],
            "groups": [group._asdict() for group in self.groups()],
            "changes": self.changes.value(),
            "places": [place._asdict() for place in self.places],
            "pieces": [base64.b64encode(piece).decode("ascii") for piece in self.pieces],
            "names": {str(token): base64.b64encode(piece).decode("ascii") for token, piece in self.names},
            "floor": self.floor.to_dict() if self.floor else None,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ScoresPair:
        """The inverse of `to_dict`, as far as `Scores.from_dict` is one."""
        return cls(
            a=Scores.from_dict(data["a"]),
            b=Scores.from_dict(data["b"]),
            **cls.arrays_of(data),
            changes=FrozenJSON(data["changes"]),
            places=tuple(Place(**place) for place in data["places"]),
            pieces=tuple(base64.b64decode(piece) for piece in data["pieces"]),
            names=tuple((int(token), base64.b64decode(piece)) for token, piece in data["names"].items()),
            floor=NoiseFloor.from_dict(data["floor"]) if data["floor"] else None,
            notes=tuple(data["notes"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        flipped, overlap = self.flipped, self.overlap
        return [
            {"position": row, "piece": show_bytes(self.pieces[row]) if self.pieces else None}
            | {"place": self._place(row).by("message"), "kl": float(self.kl[row]), "flipped": bool(flipped[row])}
            | {"logprob_a": float(self.a.logprob[row]), "logprob_b": float(self.b.logprob[row])}
            | {"first_a": int(self.a.top_ids[row, 0]), "first_b": int(self.b.top_ids[row, 0])}
            | {"margin_a": float(self.a.margin[row]), "margin_b": float(self.b.margin[row])}
            | {"overlap": float(overlap[row])}
            for row in range(len(self))
        ]

    def __repr__(self) -> str:
        floor = f", floor {self.floor.mean_kl:.2g}" if self.floor else ""
        flips = f"{int(self.flipped.sum())} of {len(self):,} first places differ"
        return f"ScoresPair(mean KL {self.mean_kl:.3g} nats{floor}, {flips})"


def compare_scores(a: Scores, b: Scores, *, kl: Sequence[float] | npt.NDArray[Any] | None = None) -> ScoresPair:
    """Two scorings of the same ids. Without `kl` it is computed where both hold full logits, and NaN elsewhere.

    For the divergence of every position without holding its logits see `workbench.lockstep`.
    Errors: `BadRequest` for scorings of different lengths.
    """
    if len(a) != len(b):
        raise BadRequest(f"the scorings have {len(a):,} and {len(b):,} positions", "accepted are two of the same ids")
    return ScoresPair(a, b, np.array(kl, np.float64) if kl is not None else _kl_of_logits(a, b))


def _kl_of_logits(a: Scores, b: Scores) -> npt.NDArray[np.float64]:
    from workbench.runtime.exchange import kl_rows

    kl, theirs = np.full(len(a), np.nan), dict(b.logits)
    for position, row in a.logits:
        if position in theirs and theirs[position].shape == row.shape:
            kl[position] = kl_rows(row[None], theirs[position][None])[0]
    return kl


def _mean(values: npt.NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _most(values: npt.NDArray[Any]) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else 0.0
