"""The logit lens as a value: what the model's own head gives for each layer's output."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.arrays import Arrays
from workbench.stages import show_bytes
from workbench.values import Plotted, Value

CAVEAT = (
    "This is not what the model thinks at a layer: its final norm and output matrix are trained to read the last "
    "layer only. Early layers may speak another language, so that a poor guess there proves nothing."
)


class Reading(NamedTuple):
    """One stage at one position: first place, and log-probability (nats) and rank (from 1) of what follows."""

    stage: str
    position: int
    first: int
    first_logprob: float
    logprob: float
    rank: int
    entropy: float


@dataclass(frozen=True, eq=False)
class Lens(Plotted, Arrays, Value):
    """What each of the s stages (the embedding, then every layer) would say behind the tokens at p positions.

    `logprob`, `rank` (s, p): of the token that really follows, NaN and 0 behind the last one; natural
    logarithms. `entropy` (s, p); `top_ids`, `top_logprobs` (s, p, k), best first. `following` (p,): the id that
    follows, -1 for none. `pieces` by id, `here` the piece at each position. `off_nats`: how far the last layer's
    lens is from the model's real log-probabilities at most; `not_evaluated`: why there is no lens, else "".
    """

    positions: npt.NDArray[np.int32]
    following: npt.NDArray[np.int32]
    logprob: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int32]
    entropy: npt.NDArray[np.float32]
    top_ids: npt.NDArray[np.int32]
    top_logprobs: npt.NDArray[np.float32]
    here: tuple[bytes, ...] = ()
    pieces: tuple[tuple[int, bytes], ...] = ()
    off_nats: float = 0.0
    not_evaluated: str = ""

    ARRAYS: ClassVar[dict[str, Any]] = {
        "positions": np.int32,
        "following": np.int32,
        "logprob": np.float32,
        "rank": np.int32,
        "entropy": np.float32,
        "top_ids": np.int32,
        "top_logprobs": np.float32,
    }

    @property
    def stages(self) -> tuple[str, ...]:
        """`embedding`, `layer 0`, `layer 1`, ..."""
        return stage_names(len(self.logprob))

    @property
    def caveat(self) -> str:
        """What a lens is not, in words."""
        return CAVEAT

    def readings(self, position: int) -> tuple[Reading, ...]:
        """Every stage at one of the positions, first to last. Errors: `KeyError`."""
        at = np.flatnonzero(self.positions == position)
        if not len(at):
            raise KeyError(position)
        return tuple(self._reading(stage, int(at[0])) for stage in range(len(self.stages)))

    def settled(self, position: int) -> str | None:
        """The first stage from which on the first place is the model's own; None without a lens."""
        readings = self.readings(position)
        differing = [i for i, reading in enumerate(readings) if reading.first != readings[-1].first]
        return readings[differing[-1] + 1 if differing else 0].stage if readings else None

    def _reading(self, stage: int, column: int) -> Reading:
        return Reading(
            stage=self.stages[stage],
            position=int(self.positions[column]),
            first=int(self.top_ids[stage, column, 0]),
            first_logprob=float(self.top_logprobs[stage, column, 0]),
            logprob=float(self.logprob[stage, column]),
            rank=int(self.rank[stage, column]),
            entropy=float(self.entropy[stage, column]),
        )

    def to_dict(self) -> dict[str, Any]:
        """The arrays as lists, `stages`, pieces in base64, `off_nats`, `not_evaluated`, `caveat`."""
        return {
            **self.array_lists(),
            "stages": list(self.stages),
            "here": [base64.b64encode(piece).decode("ascii") for piece in self.here],
            "pieces": {str(token): base64.b64encode(piece).decode("ascii") for token, piece in self.pieces},
            "off_nats": self.off_nats,
            "not_evaluated": self.not_evaluated,
            "caveat": self.caveat,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Lens:
        """The inverse of `to_dict`."""
        return cls(
            **cls.arrays_of(data),
            here=tuple(base64.b64decode(piece) for piece in data["here"]),
            pieces=tuple((int(token), base64.b64decode(piece)) for token, piece in data["pieces"].items()),
            off_nats=float("nan") if data["off_nats"] is None else data["off_nats"],
            not_evaluated=data["not_evaluated"],
        )

    def _rows(self) -> list[dict[str, Any]]:
        known = dict(self.pieces)
        return [
            {"position": reading.position, "after": show_bytes(self.here[column]) if self.here else None}
            | {"stage": reading.stage, "first": reading.first, "piece": show_bytes(known.get(reading.first, b""))}
            | {"first_logprob": reading.first_logprob, "following": int(self.following[column])}
            | {"logprob": reading.logprob, "rank": reading.rank or None, "entropy": reading.entropy}
            for column in range(len(self.positions))
            for reading in (self._reading(stage, column) for stage in range(len(self.stages)))
        ]

    def __repr__(self) -> str:
        if self.not_evaluated:
            return f"Lens(not evaluated: {self.not_evaluated})"
        return f"Lens({len(self.stages)} stages, {len(self.positions)} positions; not what the model thinks)"


def stage_names(count: int) -> tuple[str, ...]:
    """The names of `count` stages."""
    return tuple("embedding" if i == 0 else f"layer {i - 1}" for i in range(count))
