"""Several texts by two tokenizers: on which of them they agree, and where they part first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.compare.tokens import TokenAlignment
from workbench.stages import show_bytes
from workbench.values import Value


class Case(NamedTuple):
    """One text: its group and name, and both tokenisations; None with the reason where one refused it."""

    group: str
    name: str
    alignment: TokenAlignment | None
    error: str = ""


@dataclass(frozen=True)
class Beside(Value):
    """The texts in order, each by both tokenizers."""

    names: tuple[str, str]
    cases: tuple[Case, ...]

    def __getitem__(self, name: str) -> TokenAlignment:
        found = next((case.alignment for case in self.cases if case.name == name and case.alignment), None)
        if found is None:
            raise KeyError(name)
        return found

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def different(self) -> tuple[Case, ...]:
        """The texts on which they do not agree, or that one of them refused."""
        return tuple(case for case in self.cases if case.alignment is None or not case.alignment.agree)

    @property
    def agree(self) -> bool:
        """Whether they agree on all texts."""
        return not self.different

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the differences."""
        alignments = [case.alignment for case in self.cases if case.alignment is not None]
        renumbered = sum(found.renumbered for found in alignments)
        tokens = sum(len(found.a) for found in alignments)
        if not renumbered or 2 * renumbered < tokens:
            return ()
        said = f"{renumbered:,} of {tokens:,} tokens stand for the same bytes under other ids"
        return (f"{said}: these are two vocabularies; compare by pieces",)

    def to_dict(self) -> dict[str, Any]:
        """`{names, agree, texts, different: [{group, name, error, alignment}], notes}`."""
        return {
            "names": list(self.names),
            "agree": self.agree,
            "texts": len(self.cases),
            "different": [
                case._asdict() | {"alignment": case.alignment.to_dict() if case.alignment else None}
                for case in self.different
            ],
            "notes": list(self.notes),
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "group": case.group,
                "text": case.name,
                "agree": case.alignment is not None and case.alignment.agree,
                "tokens a": len(case.alignment.a) if case.alignment else None,
                "tokens b": len(case.alignment.b) if case.alignment else None,
                "first difference": first_words(case),
            }
            for case in self.cases
        ]

    def __repr__(self) -> str:
        same = len(self.cases) - len(self.different)
        first = f"; first difference in {self.different[0].name!r}" if self.different else ""
        return f"Beside({self.names[0]} | {self.names[1]}; the same on {same} of {len(self.cases)} texts{first})"


def first_words(case: Case) -> str:
    """Where a case's tokenisations part, in words; its error where one refused it; empty where they agree."""
    found = case.alignment
    where = found.first_difference if found else None
    if found is None or where is None:
        return case.error
    one, other = ("|".join(map(show_bytes, side.pieces[slice(*part)])) or "nothing" for side, part in _sides(found))
    return f"byte {where.bytes_a[0]:,}, {where.kind}: {one} -> {other}"


def _sides(found: TokenAlignment) -> Any:
    where = found.first_difference
    assert where is not None
    return (found.a, where.a), (found.b, where.b)
