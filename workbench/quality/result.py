"""How far models are from a base: one candidate's figures, and all of them with what the comparison is worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.gguf.grid import Grids
from workbench.quality.statistics import KINDS, Figure
from workbench.setup import Setup
from workbench.values import Plotted, Value

PERCENTILES = (99.9, 99.0, 95.0, 90.0, 75.0, 50.0, 25.0, 10.0, 5.0, 1.0, 0.1)


class Candidate(NamedTuple):
    """One model against the base: `figures` by name, in the order of `KINDS`; `percentiles` of the KL divergence."""

    setup: Setup
    figures: tuple[tuple[str, Figure], ...]
    percentiles: tuple[tuple[float, float], ...]

    @property
    def model(self) -> str:
        """The model's path as it was given."""
        return str(self.setup.model)

    def figure(self, name: str) -> Figure:
        """One figure by its name. Errors: `BadRequest`."""
        found = dict(self.figures)
        if name not in found:
            raise BadRequest(f"there is no figure {name!r}", f"accepted are {', '.join(found)}")
        return found[name]

    def to_dict(self) -> dict[str, Any]:
        """`{model, each figure as {value, uncertainty}, percentiles: {percent: nats}}`."""
        found: dict[str, Any] = {"model": self.model}
        found |= {name: figure._asdict() for name, figure in self.figures}
        return found | {"percentiles": {f"{percent:g}": value for percent, value in self.percentiles}}

    @classmethod
    def from_dict(cls, data: dict[str, Any], setup: Setup) -> Candidate:
        """The inverse of `to_dict`, with the setup that it was measured under."""
        figures = tuple((kind.name, Figure(**data[kind.name])) for kind in KINDS)
        return cls(setup, figures, tuple((float(p), value) for p, value in data["percentiles"].items()))


@dataclass(frozen=True)
class Quality(Plotted, Value):
    """Candidates against a base on the same text.

    `chunks` of `n_ctx` tokens were read, and of each the `positions_per_chunk` of the second half were compared.
    `reference`: whether the base's weights are what they seem to be. `resumed`: chunks that an earlier, stopped
    measurement had left; it does not count in equality.
    """

    base: Setup
    candidates: tuple[Candidate, ...]
    n_ctx: int
    chunks: int
    reference: Grids
    notes: tuple[str, ...] = ()
    resumed: int = field(default=0, compare=False)

    @property
    def positions(self) -> int:
        """How many positions every figure is made of."""
        return self.chunks * positions_per_chunk(self.n_ctx)

    @property
    def names(self) -> tuple[str, ...]:
        """Each candidate's file, and where it does not tell them apart, which settings differ from the base's."""
        return tuple(self._name(candidate) for candidate in self.candidates)

    def _name(self, candidate: Candidate) -> str:
        changes = {k: b for k, (_, b) in self.base.diff(candidate.setup).items() if k != "model"}
        settings = ", ".join(f"{key.removeprefix('runtime.')} {value}" for key, value in changes.items())
        return " · ".join(part for part in (Path(candidate.model).name, settings) if part)

    def to_dict(self) -> dict[str, Any]:
        """`{base, candidates, n_ctx, chunks, positions, resumed, reference, notes, setups}`."""
        return {
            "base": str(self.base.model),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "n_ctx": self.n_ctx,
            "chunks": self.chunks,
            "positions": self.positions,
            "resumed": self.resumed,
            "reference": self.reference.to_dict(),
            "notes": list(self.notes),
            "setups": [setup.to_dict() for setup in (self.base, *(c.setup for c in self.candidates))],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Quality:
        """The inverse of `to_dict`."""
        base, *setups = (Setup.from_dict(setup) for setup in data["setups"])
        return cls(
            base=base,
            candidates=tuple(Candidate.from_dict(c, s) for c, s in zip(data["candidates"], setups, strict=True)),
            n_ctx=data["n_ctx"],
            chunks=data["chunks"],
            reference=Grids.from_dict(data["reference"]),
            notes=tuple(data["notes"]),
            resumed=data.get("resumed", 0),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"candidate": name, "figure": figure, "value": found.value, "uncertainty": found.uncertainty}
            for name, candidate in zip(self.names, self.candidates, strict=True)
            for figure, found in candidate.figures
        ]

    def __repr__(self) -> str:
        parts = [
            f"{name}: KLD {c.figure('mean_kld').value:.6f}, same top {c.figure('same_top_p').value:.2f} %"
            for name, c in zip(self.names, self.candidates, strict=True)
        ]
        circular = "; the base is no original" if self.reference.on_grid else ""
        return f"Quality({'; '.join(parts)}; {self.positions:,} positions{circular})"


def positions_per_chunk(n_ctx: int) -> int:
    """The second half of a chunk, but for its last token, whose successor is not known."""
    return n_ctx - 1 - n_ctx // 2
