"""A setup: every knob with the value that applies; those that were set stand out."""

from __future__ import annotations

import json

from workbench.setup import Setup
from workbench.values import clip
from workbench.views.html import code, escape, fold, heading, table

LIMIT_CHARACTERS = 400


def view(value: Setup) -> str:
    """What was set, and in a fold everything that applies."""
    rows = value._rows()  # noqa: SLF001 (what to_frame() shows, without loading pandas)
    chosen = [[code(row["setting"]), _value(row["value"])] for row in rows if row["set"]]
    every = [[code(row["setting"]), _value(row["value"]), "set" if row["set"] else "default"] for row in rows]
    first = table(("setting", "value"), chosen) if chosen else "<i>nothing is set; the defaults apply</i>"
    return heading("Setup", f"{len(chosen)} set") + first + fold("Everything that applies", _all(every))


def _all(rows: list[list[str]]) -> str:
    return table(("setting", "value", "from"), rows)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return code(clip(text, LIMIT_CHARACTERS)) if value is not None else escape("–")
