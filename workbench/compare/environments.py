"""Two environments beside each other: what differs, and whether the same processor features computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.environment import Environment
from workbench.values import Value

FEATURES = "cpu_features"  # the name of these facts, the machine's in `system` and the build's in `runtime`
WHERE = (("system", "the processors"), ("runtime", "the builds of llama.cpp"))
# Facts of `runtime` that tell of the stack and not of one setup's run.
STACK = ("library", "system_info", FEATURES, "available_devices")


class Row(NamedTuple):
    """A fact that differs: its part and name, and both values; None where a side does not have it."""

    part: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Environments(Value):
    """What two traces ran on."""

    a: Environment
    b: Environment

    @property
    def rows(self) -> tuple[Row, ...]:
        """The facts about versions, system and stack that differ."""
        return tuple(self._differing())

    @property
    def features(self) -> tuple[str, ...]:
        """How the CPU features differ, a sentence each for machine and build; numbers may differ for that alone."""
        return tuple(sentence for part, what in WHERE if (sentence := self._feature_words(part, what)))

    def _differing(self) -> Iterator[Row]:
        mine, theirs = self.a.to_dict(), self.b.to_dict()
        for part in ("versions", "system", "runtime"):
            for name in dict.fromkeys([*mine[part], *theirs[part]]):
                pair = mine[part].get(name), theirs[part].get(name)
                if pair[0] != pair[1] and (part != "runtime" or name in STACK):
                    yield Row(part, name, *pair)

    def _feature_words(self, part: str, what: str) -> str:
        facts = [side.to_dict()[part] for side in (self.a, self.b)]
        a, b = (_features(each) for each in facts)
        if a == b or not all(facts):  # a side that computed nothing has no numbers
            return ""
        if isinstance(a, str) or isinstance(b, str):
            unknown = " and ".join(f"{name}'s ({said})" for name, said in (("a", a), ("b", b)) if isinstance(said, str))
            return f"whether {what} have the same CPU features is not known: not known are {unknown}"
        only = [(name, [f for f in mine if f not in other]) for name, mine, other in (("a", a, b), ("b", b, a))]
        told = "; ".join(f"only {name}'s has {', '.join(names)}" for name, names in only if names)
        return f"{what} have different CPU features, which alone can change numbers: {told}"

    def to_dict(self) -> dict[str, Any]:
        """`{rows: [{part, name, a, b}], features}`."""
        return {"rows": self._rows(), "features": list(self.features)}

    def _rows(self) -> list[dict[str, Any]]:
        return [row._asdict() for row in self.rows]

    def __repr__(self) -> str:
        names = ", ".join(f"{row.part}.{row.name}" for row in self.rows) or "nothing"
        return "\n  ".join([f"Environments({names} differ)" if self.rows else "Environments(alike)", *self.features])


def _features(facts: Mapping[str, Any]) -> tuple[str, ...] | str:
    """The names, or in words why there are none."""
    found = facts.get(FEATURES)
    if isinstance(found, list):
        return tuple(str(name) for name in found)
    if isinstance(found, str):
        return found
    return "nothing was recorded"
