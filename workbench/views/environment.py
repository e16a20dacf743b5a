"""What a trace ran on, one table a part."""

from __future__ import annotations

import json

from workbench.compare.environments import Environments
from workbench.environment import Environment
from workbench.values import clip
from workbench.views.html import code, heading, notes, table

LIMIT_CHARACTERS = 600


def view(value: Environment) -> str:
    """Versions, system, runtime and files; parts without facts are left out."""
    parts = [heading("Environment"), notes(value.runtime.value().get("notes", ()))]
    for part, facts in value.to_dict().items():
        if facts:
            parts.append(heading(part) + table(("name", "value"), [[code(n), _value(v)] for n, v in facts.items()]))
    return "".join(parts)


def view_pair(value: Environments) -> str:
    """What differs between two of them, and first whether they computed with different CPU features."""
    rows = [[code(f"{row.part}.{row.name}"), _value(row.a), _value(row.b)] for row in value.rows]
    parts = [heading("Environments", f"{len(rows)} facts differ"), notes(value.features)]
    return "".join([*parts, table(("name", "A", "B"), rows) if rows else ""])


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return code(clip(text, LIMIT_CHARACTERS))
