"""A template's execution as a table: each step, its place, what it wrote, the variables that it changed."""

from __future__ import annotations

from workbench.steps import Step, Steps
from workbench.views.html import code, cut, escape, fold, heading, mark, table, visible
from workbench.views.palette import FAINT, MONO, NOTE

LIMIT_STEPS = 200
LIMIT_LINES = 400
LIMIT_TEXT = 80
KINDS = {
    "output": "writes",
    "text": "the template's own text",
    "if": "condition",
    "loop": "loop",
    "set": "sets",
    "call": "calls",
    "error": "fails",
    "more": "and",
}


def view(value: Steps) -> str:
    """The steps, and the template with the lines that never ran marked."""
    wrote: dict[int, str] = {}
    text = value.rendered.text or ""
    for piece in value.pieces:
        if piece.step < LIMIT_STEPS:
            wrote[piece.step] = wrote.get(piece.step, "") + text[piece.start : piece.end]
    rows = [_row(number, step, wrote.get(number, "")) for number, step in enumerate(value.steps[:LIMIT_STEPS])]
    parts = [heading("Template, step by step", f"{len(value.steps):,} steps")]
    parts += [table(("step", "line", "what", "wrote"), rows), cut(len(rows), len(value.steps), "steps")]
    never = len(value.never)
    aside = f", {never} of its lines never ran" if never else ""
    return "".join([*parts, fold(f"The template{aside}", _source(value))])


def words(step: Step) -> str:
    """What a step did, in words."""
    return f"{KINDS.get(step.kind, step.kind)}{f' {step.detail}' if step.detail else ''}"


def _row(number: int, step: Step, wrote: str) -> list[str]:
    shown = visible(wrote[:LIMIT_TEXT], spaces=True) + ("…" if len(wrote) > LIMIT_TEXT else "")
    return [
        str(number),
        f"{step.line}:{step.column}",
        escape(words(step)),
        mark(shown, FAINT, extra=MONO) if wrote else "",
    ]


def _source(value: Steps) -> str:
    never = set(value.never)
    rows = [
        [str(number), mark(visible(line), NOTE, "nothing on this line ran", MONO) if number in never else code(line)]
        for number, line in enumerate(value.lines[:LIMIT_LINES], 1)
    ]
    return table(("line", ""), rows) + cut(len(rows), len(value.lines), "lines")
