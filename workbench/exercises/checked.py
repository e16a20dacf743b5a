"""What a check says of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.values import Value


@dataclass(frozen=True)
class Checked(Value):
    """Whether an answer is right, and why, in words."""

    right: bool
    words: str

    def to_dict(self) -> dict[str, Any]:
        """`{right, words}`."""
        return {"right": self.right, "words": self.words}

    def _rows(self) -> list[dict[str, Any]]:
        return [self.to_dict()]

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.words}"
