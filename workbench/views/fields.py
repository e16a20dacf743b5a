"""Which fields of a request an engine's prompt hangs on: of one engine, and of several side by side."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.compare.fields import Measured
from workbench.views import reach
from workbench.views.html import code, escape, heading, mark, notes, table
from workbench.views.palette import FAINT, GOOD, NOTE, WRONG

_PAIRS = {"used": GOOD, "not used": WRONG, "elsewhere": FAINT, "not evaluated": NOTE}


def view(value: Measured) -> str:
    """Each field with what was measured, and what is not in the prompt."""
    rows = [[code(f.path), mark(f.verdict, _PAIRS[f.verdict]), escape(f.words)] for f in value.fields]
    shown = heading("Fields of the request", f"as {value.engine} uses them") + table(("field", "", "measured"), rows)
    return (shown if rows else "") + (reach.view(value.reach) if value.reach is not None else "")


def side_by_side(values: Sequence[Measured]) -> str:
    """One row a field, one column an engine; and below what each engine's prompt does not have."""
    paths = dict.fromkeys(field.path for one in values for field in one.fields)
    rows = [[code(path), *(_cell(one, path) for one in values)] for path in paths]
    head = heading("Fields of the request", "measured: the prompt with and without each")
    shown = head + table(("field", *(one.engine for one in values)), rows) if rows else ""
    lost = [f"{one.engine}: {words}" for one in values if one.reach for words in reach.missing_words(one.reach)]
    return shown + notes(lost, "Not in the prompt")


def _cell(value: Measured, path: str) -> str:
    found = next((field for field in value.fields if field.path == path), None)
    return mark(found.verdict, _PAIRS[found.verdict], found.words, "padding:0 6px") if found is not None else ""


def words(value: Measured) -> list[str]:
    """What was measured of each field, a line each; those that work elsewhere are one line."""
    lines = [f"{field.verdict}: {field.path} ({field.words})" for field in value.fields if field.verdict != "elsewhere"]
    elsewhere = [field.path for field in value.fields if field.verdict == "elsewhere"]
    return lines + ([f"works on sampling or transport, not on the prompt: {', '.join(elsewhere)}"] if elsewhere else [])


def across(values: Sequence[Measured]) -> list[tuple[str, ...]]:
    """Field and verdict by engine, with a head, for the command line; nothing where no field was measured."""
    paths = dict.fromkeys(field.path for one in values for field in one.fields)
    if not paths:
        return []
    verdicts = [{field.path: field.verdict for field in one.fields} for one in values]
    rows: list[tuple[str, ...]] = [("field", *(one.engine for one in values))]
    return rows + [(path, *(known.get(path, "") for known in verdicts)) for path in paths]
