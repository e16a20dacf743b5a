"""What a trace ran on, one table a part."""

from __future__ import annotations

import json

from workbench.environment import Environment
from workbench.values import clip
from workbench.views.html import code, heading, table

LIMIT_CHARACTERS = 600


def view(value: Environment) -> str:
    """Versions, system, runtime and files; parts without facts are left out."""
    parts = [heading("Environment")]
    for part, facts in value.to_dict().items():
        if facts:
            parts.append(heading(part) + table(("name", "value"), [[code(n), _value(v)] for n, v in facts.items()]))
    return "".join(parts)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return code(clip(text, LIMIT_CHARACTERS))
