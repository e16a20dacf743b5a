"""The noise floor: how far one setup is from itself when only the shape of the computation changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from workbench.values import FrozenJSON, Value


class FloorRow(NamedTuple):
    """One harmless change over `n` positions.

    `mean_kl`, `max_kl` in nats; `same_top` the share (0 to 1) of equal first places; `gap` the largest difference
    of a token's log-probability; `swing` the largest sum of both margins at a flip of first place, 0 for none.
    """

    change: str
    n: int
    mean_kl: float
    max_kl: float
    same_top: float
    gap: float
    swing: float


@dataclass(frozen=True)
class NoiseFloor(Value):
    """What counts as nothing for this model, these settings and this machine; `facts` names them."""

    rows: tuple[FloorRow, ...]
    facts: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))

    @property
    def mean_kl(self) -> float:
        """The largest mean KL of all harmless changes, nats."""
        return max((row.mean_kl for row in self.rows), default=0.0)

    @property
    def max_kl(self) -> float:
        """The largest KL at one position, nats."""
        return max((row.max_kl for row in self.rows), default=0.0)

    @property
    def swing(self) -> float:
        """How far two tokens moved against each other at most, nats: a flip within it says nothing.

        Twice the largest gap of one token, for each of the two may move by it; no less than at a flip that was seen.
        """
        return max((max(2 * row.gap, row.swing) for row in self.rows), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """`{rows, mean_kl, max_kl, swing, facts}`."""
        drawn = {"mean_kl": self.mean_kl, "max_kl": self.max_kl, "swing": self.swing}
        return {"rows": self._rows(), **drawn, "facts": self.facts.value()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NoiseFloor:
        """The inverse of `to_dict`."""
        return cls(tuple(FloorRow(**row) for row in data["rows"]), FrozenJSON(data.get("facts", {})))

    def _rows(self) -> list[dict[str, Any]]:
        return [row._asdict() for row in self.rows]

    def __repr__(self) -> str:
        return f"NoiseFloor(mean KL {self.mean_kl:.2g} nats, swing {self.swing:.2g} nats, {len(self.rows)} changes)"
