"""Whose token it is: the origin and the message of each token of a rendered prompt."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from workbench.stages import Rendered, Tokens

_ROOT = re.compile(r"(?:messages|tools|documents)\[\d+\]")
ADDED, UNKNOWN = "added", "unknown"
Grouping = Literal["origin", "message"]


class Place(NamedTuple):
    """`origin` as in `Span`, `added` for a token that is not from the text; `message` such as `messages[0]` or ""."""

    origin: str
    message: str

    def by(self, grouping: Grouping) -> str:
        """The group it belongs to: its origin, or its message and where it has none its origin."""
        return self.message or self.origin if grouping == "message" else self.origin


def places(tokens: Tokens, rendered: Rendered | None) -> tuple[Place, ...]:
    """The place of every token (n,); a token belongs to the span of its first character."""
    added = {index for index, _ in tokens.added}
    return tuple(_place(i, int(start), added, rendered) for i, start in enumerate(tokens.spans[:, 0]))


def _place(index: int, start: int, added: set[int], rendered: Rendered | None) -> Place:
    if index in added:
        return Place(ADDED, "")
    span = rendered.span_at(start) if rendered is not None and start >= 0 else None
    if span is None:
        return Place(UNKNOWN, "")
    root = _ROOT.match(span.path or "")
    return Place(span.origin, root[0] if root else "")
