"""A GGUF file's header: what the file says of itself, its metadata and the types of its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.values import clip
from workbench.views.html import code, cut, escape, fold, heading, table

if TYPE_CHECKING:
    from workbench.gguf.header import Header

LIMIT_ROWS = 300
LIMIT_CHARACTERS = 300


def view(value: Header) -> str:
    """The tensor types in use, then metadata in a fold."""
    types = [
        [code(name), escape(f"{facts['count']:,}"), escape(f"{facts['bytes'] / 2**20:.1f}")]
        for name, facts in value.tensor_types().items()
    ]
    rows = value._rows()  # noqa: SLF001 (what to_frame() shows, without loading pandas)
    shown = [[code(str(cell)[:LIMIT_CHARACTERS]) for cell in row.values()] for row in rows[:LIMIT_ROWS]]
    head = list(rows[0]) if rows else []
    parts = [
        heading("GGUF header", clip(repr(value), 160)),
        table(("tensor type", "tensors", "MiB"), types),
        fold(f"Every row ({len(rows):,})", table(head, shown) + cut(len(shown), len(rows), "rows")),
    ]
    return "".join(parts)
