"""What a change of the tokenizer's settings does to one text: the tokens before and after, and what ends an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.compare.tokens import TokenAlignment
from workbench.stages import Tokens
from workbench.values import FrozenJSON, Value


@dataclass(frozen=True)
class Effect(Value):
    """`changes`: the settings that differ, `{name: [before, after]}`, long lists in words.

    `ends`: the ids that end an answer, before and after; None where the change does not touch them.
    """

    changes: FrozenJSON
    alignment: TokenAlignment
    ends: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    @property
    def before(self) -> Tokens:
        """The tokens under the setup as it was."""
        return self.alignment.a

    @property
    def after(self) -> Tokens:
        """The tokens under the changed setup."""
        return self.alignment.b

    @property
    def harmless(self) -> bool:
        """Whether the model reads the same ids and stops at the same ones: on this text the change does nothing."""
        return self.alignment.same_ids and (self.ends is None or self.ends[0] == self.ends[1])

    def to_dict(self) -> dict[str, Any]:
        """`{changes, harmless, ends, alignment}`."""
        return {
            "changes": self.changes.value(),
            "harmless": self.harmless,
            "ends": [list(ids) for ids in self.ends] if self.ends else None,
            "alignment": self.alignment.to_dict(),
        }

    def _rows(self) -> list[dict[str, Any]]:
        return self.alignment._rows()  # noqa: SLF001  the same table

    def __repr__(self) -> str:
        names = ", ".join(self.changes.value()) or "nothing"
        ends = ", other ids end an answer" if self.ends and self.ends[0] != self.ends[1] else ""
        return f"Effect({names}: {len(self.before)} -> {len(self.after)} tokens{ends}; {self.alignment!r})"
