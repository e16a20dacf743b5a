"""A and B as values: each side with its speed, memory and answer or how it failed, and what parts them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from workbench.compare.environments import Environments
from workbench.compare.layers import Drift
from workbench.compare.scores import ScoresPair
from workbench.runtime.cost import Cost
from workbench.runtime.memory_estimate import MIB, Memory
from workbench.setup import Setup
from workbench.stages import Step
from workbench.trace import Trace
from workbench.values import FrozenJSON, Plotted, Value

LOADED, REFUSED, FAILED, DIED = "loaded", "refused", "failed", "died"
DEAD = "host-died"  # the code of `HostDied`


class Parting(NamedTuple):
    """The first answer token that differs: its index, and how far each side's best is before its second, nats.

    `beyond_floor`: both margins together are more than noise moves two tokens; None: no floor.
    """

    step: int
    margin_a: float
    margin_b: float
    beyond_floor: bool | None


@dataclass(frozen=True)
class Side(Value):
    """One setup on the request.

    `cost`: what it took of the process to get there. `memory`: by buffer, estimated before loading and, where it was
    loaded, reported after; None where it could not even be estimated. `trace` as far as it came. `failed`: what went
    wrong, an error as plain JSON; of a dead process its signal, what it was doing, settings and last log lines.
    `info`: what llama.cpp says that it uses, empty where nothing was loaded. `load_ms` does not count in equality.
    """

    setup: Setup
    cost: Cost = "reload"
    memory: Memory | None = None
    trace: Trace | None = None
    failed: FrozenJSON | None = None
    info: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    load_ms: float | None = field(default=None, compare=False)

    @property
    def state(self) -> str:
        """`LOADED`; `REFUSED` where it was said beforehand that it does not fit; `FAILED`; `DIED` with its process."""
        if self.failed is None:
            return LOADED
        if self.failed.value().get("code") == DEAD:
            return DIED
        return REFUSED if self.memory is not None and self.memory.refused and not self.info.value() else FAILED

    @property
    def error(self) -> str:
        """What went wrong in one sentence, "" for nothing."""
        return str(self.failed.value()["message"]) if self.failed is not None else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What these settings do otherwise than they sound, foreseen and seen."""
        foreseen = self.memory.notes if self.memory is not None else ()
        return tuple(dict.fromkeys([*foreseen, *self.info.value().get("notes", ())]))

    @property
    def text(self) -> str | None:
        """The answer, None where there is none."""
        return self.trace.generation.text if self.trace is not None and self.trace.generation is not None else None

    @property
    def prompt_per_s(self) -> float | None:
        """Prompt tokens a second, their scoring included."""
        scored = self.trace.evaluated if self.trace is not None and self.trace.scores is not None else None
        return self._rate(scored, "scores")

    @property
    def answer_per_s(self) -> float | None:
        """Answer tokens a second, the record of the samplers included."""
        answer = self.trace.generation if self.trace is not None else None
        return self._rate(len(answer) if answer is not None else None, "generation")

    def _rate(self, count: int | None, stage: str) -> float | None:
        ms = self.trace.elapsed_ms.value().get(stage) if self.trace is not None else None
        return 1000 * count / ms if count and ms else None

    @property
    def reported_mib(self) -> float | None:
        """All buffers that llama.cpp reports, None where nothing was loaded."""
        buffers = self.info.value().get("buffers_mib")
        return round(sum(buffers.values()), 2) if buffers else None

    @property
    def estimated_mib(self) -> float | None:
        """All buffers as they were reckoned before loading."""
        if self.memory is None:
            return None
        return round(sum(part.estimated or 0 for part in self.memory.parts) / MIB, 2)

    def facts(self) -> dict[str, Any]:
        """The figures that stand beside those of the other side."""
        return {
            "state": self.state,
            "cost": self.cost,
            "error": self.error or None,
            "load_ms": self.load_ms,
            "estimated_mib": self.estimated_mib,
            "reported_mib": self.reported_mib,
            "prompt_per_s": self.prompt_per_s,
            "answer_per_s": self.answer_per_s,
            "text": self.text,
            "notes": list(self.notes),
        }

    def to_dict(self) -> dict[str, Any]:
        """`{setup, ...facts, memory, failed, info, trace}`."""
        return {
            "setup": self.setup.to_dict(),
            **self.facts(),
            "memory": self.memory.to_dict() if self.memory is not None else None,
            "failed": self.failed.value() if self.failed is not None else None,
            "info": self.info.value(),
            "trace": self.trace.to_dict() if self.trace is not None else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Side:
        """The inverse of `to_dict`, as far as `Trace.from_dict` is one."""
        return cls(
            setup=Setup.from_dict(data["setup"]),
            cost=data["cost"],
            memory=Memory.from_dict(data["memory"]) if data["memory"] is not None else None,
            trace=Trace.from_dict(data["trace"]) if data["trace"] is not None else None,
            failed=FrozenJSON(data["failed"]) if data["failed"] is not None else None,
            info=FrozenJSON(data["info"]),
            load_ms=data["load_ms"],
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [self.facts()]

    def __repr__(self) -> str:
        if self.failed is not None:
            return f"Side({self.state}: {self.error})"
        rates = [
            f"{rate:.1f} {what}"
            for rate, what in ((self.prompt_per_s, "prompt"), (self.answer_per_s, "answer"))
            if rate
        ]
        return f"Side({self.reported_mib} MiB, tokens per s: {', '.join(rates) or 'not measured'}, {self.text!r})"


@dataclass(frozen=True)
class Versus(Plotted, Value):
    """One request under two setups. `pair`: their scores of a's prompt, with the noise floor where it was measured.

    `drift`: by layer, where it was asked for. `notes`: why something of this is missing, in words.
    """

    a: Side
    b: Side
    pair: ScoresPair | None = None
    drift: Drift | None = None
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """The settings that differ, each with both values."""
        return self.a.setup.diff(self.b.setup)

    @property
    def environments(self) -> Environments | None:
        """What both ran on, beside each other; None where one has no trace."""
        if self.a.trace is None or self.b.trace is None:
            return None
        return Environments(self.a.trace.environment, self.b.trace.environment)

    @property
    def same_answer(self) -> bool | None:
        """Whether both wrote the same tokens, None where one wrote none."""
        steps = self._steps()
        return None if steps is None else [s.id for s in steps[0]] == [s.id for s in steps[1]]

    @property
    def parting(self) -> Parting | None:
        """Where the answers part first, None where they do not, or where only one goes on."""
        steps = self._steps() or ((), ())
        found = next((i for i, (x, y) in enumerate(zip(*steps, strict=False)) if x.id != y.id), None)
        if found is None:
            return None
        margin_a, margin_b = (float(side[found].margin) for side in steps)
        floor = self.pair.floor if self.pair is not None else None
        return Parting(found, margin_a, margin_b, margin_a + margin_b > floor.swing if floor is not None else None)

    def _steps(self) -> tuple[tuple[Step, ...], tuple[Step, ...]] | None:
        answers = [side.trace.generation if side.trace is not None else None for side in (self.a, self.b)]
        return (answers[0].steps, answers[1].steps) if answers[0] is not None and answers[1] is not None else None

    def to_dict(self) -> dict[str, Any]:
        """`{a, b, changes, environments, same_answer, parting, pair, drift, notes}`."""
        return {
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "changes": {name: list(pair) for name, pair in self.changes.items()},
            "environments": self.environments.to_dict() if self.environments is not None else None,
            "same_answer": self.same_answer,
            "parting": self.parting._asdict() if self.parting is not None else None,
            "pair": self.pair.to_dict() if self.pair is not None else None,
            "drift": self.drift.to_dict() if self.drift is not None else None,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Versus:
        """The inverse of `to_dict`, as far as those of its parts are."""
        return cls(
            a=Side.from_dict(data["a"]),
            b=Side.from_dict(data["b"]),
            pair=ScoresPair.from_dict(data["pair"]) if data["pair"] is not None else None,
            drift=Drift.from_dict(data["drift"]) if data["drift"] is not None else None,
            notes=tuple(data["notes"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [{"side": name} | side.facts() for name, side in (("a", self.a), ("b", self.b))]

    def __repr__(self) -> str:
        parts = [f"a: {self.a!r}", f"b: {self.b!r}", *([repr(self.pair)] if self.pair is not None else [])]
        parts += [repr(self.drift)] if self.drift is not None else []
        features = self.environments.features if self.environments is not None else ()
        return "\n  ".join(["Versus:", *parts, *features, *self.notes])
