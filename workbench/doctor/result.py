"""What an examination found, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.doctor.against import Difference, by_effect, from_effects
from workbench.doctor.check import Check, listed
from workbench.environment import Environment
from workbench.values import Value, clip

DETAIL_CHARACTERS = 300  # of a detail that the text shows; the value has all


@dataclass(frozen=True)
class Doctor(Value):
    """The table of checks, the environment, and against another machine's what is different (None: not asked)."""

    checks: tuple[Check, ...]
    environment: Environment
    differences: tuple[Difference, ...] | None = None

    def of(self, verdict: str) -> tuple[Check, ...]:
        """The checks with this verdict: "pass", "warn", "fail" or "not evaluated"."""
        return tuple(check for check in self.checks if check.verdict == verdict)

    def __getitem__(self, name: str) -> Check:
        """The check of this name. Errors: `KeyError`."""
        return {check.name: check for check in self.checks}[name]

    @property
    def broken(self) -> bool:
        """Whether something that is needed is broken."""
        return bool(self.of("fail"))

    @property
    def apart(self) -> bool:
        """Whether the other machine differs in what can change a result."""
        return any(one.changes for one in self.differences or ())

    @property
    def verdict(self) -> str:
        """One sentence."""
        fails, warns = self.of("fail"), self.of("warn")
        if fails:
            count = "1 thing is" if len(fails) == 1 else f"{len(fails)} things are"
            return f"{count} broken: {listed(check.name for check in fails)}"
        if warns:
            return f"everything that is needed works; worth a look: {listed(check.name for check in warns)}"
        return "everything that is needed works"

    def to_dict(self) -> dict[str, Any]:
        """`{verdict, checks: [{name, verdict, detail, fix}], environment}`, and `differences` where asked for."""
        found: dict[str, Any] = {
            "verdict": self.verdict,
            "checks": [check._asdict() for check in self.checks],
            "environment": self.environment.to_dict(),
        }
        return found | ({} if self.differences is None else {"differences": by_effect(self.differences)})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Doctor:
        """The inverse of `to_dict`."""
        return cls(
            checks=tuple(Check(**item) for item in data["checks"]),
            environment=Environment.from_dict(data["environment"]),
            differences=from_effects(data["differences"]) if "differences" in data else None,
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [check._asdict() for check in self.checks]

    def __repr__(self) -> str:
        rows = [
            f"{check.verdict:<13} {check.name:<24} {clip(check.detail, DETAIL_CHARACTERS)}" for check in self.checks
        ]
        fixes = [f"to mend {check.name}: {check.fix}" for check in self.checks if check.fix and check.verdict != "pass"]
        return "\n".join([self.verdict, *rows, *fixes])
