"""An error that a user can act on: what was given, what is accepted, what to do."""

from __future__ import annotations

from workbench.errors import HostDied, WorkbenchError
from workbench.views.html import escape, fold, table, wrong
from workbench.views.palette import MONO

LIMIT_LINES = 200


def view(value: WorkbenchError) -> str:
    """The sentence, its parts, and for a dead host the operation, its settings and its last log lines."""
    facts = [("accepted", value.accepted), ("next step", value.next_step)]
    if isinstance(value, HostDied):
        facts += [("operation", value.operation), ("signal", value.signal or f"exit code {value.exit_code}")]
        facts += [("settings", value.settings)]
    rows = [[escape(name), escape(text)] for name, text in facts if text]
    log = log_lines(value.log) if isinstance(value, HostDied) else ""
    return wrong(value.given) + (table(("", ""), rows) if rows else "") + log


def log_lines(lines: tuple[str, ...]) -> str:
    """llama.cpp's own lines in a fold, the last ones where there are many; nothing for none."""
    if not lines:
        return ""
    shown = "\n".join(escape(line.rstrip("\n")) for line in lines[-LIMIT_LINES:])
    return fold(f"llama.cpp's log ({len(lines):,} lines)", f'<pre style="{MONO};font-size:12px">{shown}</pre>')
