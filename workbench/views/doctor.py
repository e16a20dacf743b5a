"""An examination of a machine: the verdict, a row for each check with what mends it, what differs on another one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.values import clip
from workbench.views.html import code, cut, escape, fold, heading, mark, table
from workbench.views.palette import FAINT, GOOD, NOTE, WRONG

if TYPE_CHECKING:
    from workbench.doctor import Doctor

COLOURS = {"pass": GOOD, "warn": NOTE, "fail": WRONG, "not evaluated": FAINT}
DETAIL_CHARACTERS = 600
FACT_CHARACTERS = 200
ROWS = 100  # differences of one kind


def view(value: Doctor) -> str:
    """All rows, those that pass too; differences in folds, the harmless ones closed."""
    rows = [
        [
            mark(check.verdict, COLOURS[check.verdict]),
            escape(check.name),
            escape(clip(check.detail, DETAIL_CHARACTERS)),
            code(check.fix) if check.fix else "",
        ]
        for check in value.checks
    ]
    parts = [heading("Doctor", value.verdict), table(("verdict", "what", "how it stands", "to mend it"), rows)]
    groups = value.to_dict().get("differences", {})
    parts += [_group(effect, found) for effect, found in groups.items()]
    return "".join(parts)


def _group(effect: str, found: list[dict[str, Any]]) -> str:
    title = f"differences that can change {effect}: {len(found) or 'none'}"
    if not found:
        return heading(title)
    rows = [[code(row["name"]), _fact(row["here"]), _fact(row["there"])] for row in found[:ROWS]]
    shown = table(("what", "here", "there"), rows) + cut(len(rows), len(found), "differences")
    return fold(title, shown, is_open=effect != "nothing")


def _fact(value: Any) -> str:
    text = value if isinstance(value, str) else "–" if value is None else json.dumps(value, ensure_ascii=False)
    return escape(clip(text, FACT_CHARACTERS))
