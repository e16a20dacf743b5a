"""Where in the network two setups part: the layers' outputs held against each other, and the tensors that do it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.arrays import Arrays
from workbench.compare.lens import stage_names
from workbench.values import FrozenJSON, Plotted, Value

BEYOND = 3.0  # times the floor: where a difference is more than noise


class StageDrift(NamedTuple):
    """One stage over all positions: ||a - b|| / ||a|| and the cosine of the outputs.

    `worst` is the position of the largest error; `floor` the mean error of a harmless change, None where it
    was not measured.
    """

    stage: str
    mean_error: float
    max_error: float
    worst: int
    mean_cosine: float
    min_cosine: float
    floor: float | None


@dataclass(frozen=True, eq=False)
class Drift(Plotted, Arrays, Value):
    """Two setups on the same n tokens, s stages: the embedding, then every layer's output.

    `error`, `cosine` (s, n) as in `StageDrift`, NaN where a stage was not seen; `kl` (n,) in nats, of what
    follows each token. `floor` (s,): the mean error between setup a and itself token by token, empty where it
    was not measured. `changes`: the settings that differ, with both values. `not_evaluated`: why there are
    no layers, else "".
    """

    error: npt.NDArray[np.float32]
    cosine: npt.NDArray[np.float32]
    kl: npt.NDArray[np.float64]
    floor: npt.NDArray[np.float32]
    pieces: tuple[bytes, ...] = ()
    changes: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    not_evaluated: str = ""
    notes: tuple[str, ...] = ()

    ARRAYS: ClassVar[dict[str, Any]] = {
        "error": np.float32,
        "cosine": np.float32,
        "kl": np.float64,
        "floor": np.float32,
    }

    @property
    def stages(self) -> tuple[StageDrift, ...]:
        """Every stage that was seen, first to last."""
        names = stage_names(len(self.error))
        return tuple(self._stage(i, name) for i, name in enumerate(names) if not np.isnan(self.error[i]).all())

    def _stage(self, index: int, name: str) -> StageDrift:
        error, cosine = self.error[index].astype(np.float64), self.cosine[index].astype(np.float64)
        floor = float(self.floor[index]) if len(self.floor) else None
        return StageDrift(
            name,
            float(np.nanmean(error)),
            float(np.nanmax(error)),
            int(np.nanargmax(error)),
            float(np.nanmean(cosine)),
            float(np.nanmin(cosine)),
            floor,
        )

    @property
    def begins(self) -> StageDrift | None:
        """The first stage whose mean error is more than the floor (without one: more than nothing); None for none."""
        return next((stage for stage in self.stages if stage.mean_error > BEYOND * (stage.floor or 0.0)), None)

    @property
    def steepest(self) -> StageDrift | None:
        """The stage that adds most to the mean error; None without stages."""
        stages = self.stages
        steps = np.diff([0.0, *(stage.mean_error for stage in stages)])
        return stages[int(np.argmax(steps))] if stages else None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, pieces in base64, and `stages`, `begins`, `steepest`."""
        begins, steepest = self.begins, self.steepest
        return {
            "stages": [stage._asdict() for stage in self.stages],
            "begins": begins.stage if begins else None,
            "steepest": steepest.stage if steepest else None,
            **self.array_lists(),
            "pieces": [base64.b64encode(piece).decode("ascii") for piece in self.pieces],
            "changes": self.changes.value(),
            "not_evaluated": self.not_evaluated,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Drift:
        """The inverse of `to_dict`."""
        return cls(
            **cls.arrays_of(data),
            pieces=tuple(base64.b64decode(piece) for piece in data["pieces"]),
            changes=FrozenJSON(data["changes"]),
            not_evaluated=data["not_evaluated"],
            notes=tuple(data["notes"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [stage._asdict() for stage in self.stages]

    def __repr__(self) -> str:
        if self.not_evaluated:
            return f"Drift(not evaluated: {self.not_evaluated})"
        begins, stages = self.begins, self.stages
        if begins is None:
            return f"Drift({len(stages)} stages, no difference beyond the floor)"
        last = stages[-1]
        return f"Drift(begins at {begins.stage} with {begins.mean_error:.2g}, {last.stage} {last.mean_error:.2g})"


class GroupEffect(NamedTuple):
    """The low file with one group of tensors out of the high one: what is left of the divergence.

    `mean_kl`, `max_kl` in nats; `restored` the share of the low file's mean KL that went away (1: all of it);
    `extra_bytes` what the file grows by; `types` the group's tensor types, low then high.
    """

    group: str
    tensors: int
    types: tuple[str, str]
    extra_bytes: int
    mean_kl: float
    max_kl: float
    same_top: float
    restored: float


@dataclass(frozen=True)
class TensorGroups(Plotted, Value):
    """Which tensors of a low-precision file do the damage, over `n` positions; `mean_kl` is that of the whole file.

    `effects`: the group that restores most first. `same`: groups that are equal in both files.
    """

    high: str
    low: str
    n: int
    mean_kl: float
    max_kl: float
    same_top: float
    effects: tuple[GroupEffect, ...]
    same: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "high": self.high,
            "low": self.low,
            "n": self.n,
            "mean_kl": self.mean_kl,
            "max_kl": self.max_kl,
            "same_top": self.same_top,
            "effects": [effect._asdict() | {"types": list(effect.types)} for effect in self.effects],
            "same": list(self.same),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TensorGroups:
        """The inverse of `to_dict`."""
        effects = tuple(GroupEffect(**(e | {"types": (e["types"][0], e["types"][1])})) for e in data["effects"])
        texts = {name: tuple(data[name]) for name in ("same", "notes")}
        return cls(**(data | {"effects": effects} | texts))

    def _rows(self) -> list[dict[str, Any]]:
        return [effect._asdict() | {"types": " → ".join(effect.types)} for effect in self.effects]

    def __repr__(self) -> str:
        best = self.effects[0] if self.effects else None
        most = f", {best.group} restores {100 * best.restored:.0f} %" if best else ""
        return f"TensorGroups({self.low} against {self.high}: mean KL {self.mean_kl:.3g} nats{most})"
