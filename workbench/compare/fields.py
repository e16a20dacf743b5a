"""Which fields of a request an engine's prompt hangs on, and what of the request never reached it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from workbench.compare.reach import Reach
from workbench.values import Value

Verdict = Literal["used", "not used", "elsewhere", "not evaluated"]


class Field(NamedTuple):
    """One field: `path` in the request (`messages[].name` for a field of messages), and whether the prompt hangs on it.

    `elsewhere` are fields that work on sampling or on the answer's way back, `words` the reason in each case.
    """

    path: str
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Measured(Value):
    """What one engine made of a request: each field that is there, and what is not in the prompt (None: no prompt)."""

    engine: str
    fields: tuple[Field, ...]
    reach: Reach | None = None

    def __getitem__(self, path: str) -> Field:
        found = next((field for field in self.fields if field.path == path), None)
        if found is None:
            raise KeyError(path)
        return found

    def to_dict(self) -> dict[str, Any]:
        """`{engine, fields: [{path, verdict, words}], missing, quiet, untold}`; the last three as `Reach` has them."""
        known = self.reach.to_dict() if self.reach is not None else {}
        found = {name: known.get(name) for name in ("missing", "quiet", "untold")}
        return {"engine": self.engine, "fields": [field._asdict() for field in self.fields], **found}

    def _rows(self) -> list[dict[str, Any]]:
        return [field._asdict() for field in self.fields]

    def __repr__(self) -> str:
        used = ", ".join(field.path for field in self.fields if field.verdict == "used")
        lost = len(self.reach.missing) if self.reach is not None else 0
        return f"Measured({self.engine}; used: {used or 'none'}; {lost} missing)"
