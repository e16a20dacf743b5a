"""What a proof found, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from workbench.proof.cases import CASES, MOST_NATS, Case
from workbench.values import Value

Verdict = Literal["right", "wrong", "died", "failed"]


class Result(NamedTuple):
    """One case: how it went, in words where it did not go well, and the most nats that it was off (None: none)."""

    kind: str
    extra_buffers: bool
    verdict: Verdict
    detail: str = ""
    nats: float | None = None

    @property
    def case(self) -> Case:
        """The case alone."""
        return Case(self.kind, self.extra_buffers)


@dataclass(frozen=True)
class Proof(Value):
    """One build, or one CPU variant of it (`variant`, "" where it has none), tried on every case.

    `features` are the instruction sets that llama.cpp says it uses.
    """

    variant: str
    features: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def faults(self) -> tuple[Result, ...]:
        """The cases that did not come out right."""
        return tuple(result for result in self.results if result.verdict != "right")

    @property
    def holds(self) -> bool:
        """Whether every case was tried and came out right."""
        return not self.faults and {result.case for result in self.results} == set(CASES)

    @property
    def holds_without_extra_buffers(self) -> bool:
        """Whether every case without extra buffers was tried and came out right."""
        right = {result.case for result in self.results if result.verdict == "right"}
        return right >= {case for case in CASES if not case.extra_buffers}

    def sentence(self) -> str:
        """The verdict in one sentence, without a full stop."""
        name = f"the CPU variant {self.variant}" if self.variant else "this build of llama.cpp"
        if self.holds:
            return f"{name} computes toolsmith as it should in all {len(self.results)} cases"
        first = self.faults[0]
        more = f", and {len(self.faults) - 1} more of {len(self.results)} cases" if len(self.faults) > 1 else ""
        return f"{name} fails: {first.case} {first.detail}{more}"

    def to_dict(self) -> dict[str, Any]:
        """`{variant, features, holds, results: [{kind, extra_buffers, verdict, detail, nats}]}`."""
        results = [result._asdict() for result in self.results]
        return {"variant": self.variant, "features": list(self.features), "holds": self.holds, "results": results}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proof:
        """The inverse of `to_dict`."""
        results = tuple(Result(**result) for result in data["results"])
        return cls(str(data["variant"]), tuple(data["features"]), results)

    def _rows(self) -> list[dict[str, Any]]:
        return [result._asdict() | {"most nats": MOST_NATS.get(result.kind)} for result in self.results]

    def __repr__(self) -> str:
        return f"Proof({self.sentence()})"
