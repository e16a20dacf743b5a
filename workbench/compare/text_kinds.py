"""What kind of text each token is: a tool call, code, prose; damage in the first two is what breaks an agent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from workbench.parsers import parse
from workbench.stages import Rendered, Tokens

PROSE, CALL, CODE, TOOLS, FRAME = "prose", "tool call", "code", "tools", "frame"
TEXT_KINDS = (CALL, CODE, PROSE, TOOLS, FRAME)
CONTROL = "control"


class _Run(NamedTuple):
    """The tokens [start, end), whose text belongs together."""

    start: int
    end: int


def text_kinds(tokens: Tokens, rendered: Rendered | None = None, *, n_prompt: int | None = None) -> tuple[str, ...]:
    """The kind of every token (n,), one of `TEXT_KINDS`.

    "tool call": a call in a message or in the answer, a broken one too; "code": a fenced block; "tools": what the
    prompt says of the tools; "frame": what the template or the tokenizer wrote, and control tokens; "prose": the
    rest. What the template writes between two tokens of one call, or of the tools, counts to them. The answer begins
    at token `n_prompt`. Without `rendered` the whole text is read as one message.
    """
    n_prompt = len(tokens) if n_prompt is None else n_prompt
    whose = [_whose(tokens, rendered, i) for i in range(n_prompt)] + ["answer"] * (len(tokens) - n_prompt)
    kinds = [name if name in (CALL, TOOLS, FRAME) else PROSE for name in whose]
    for run in _runs(whose):
        if kinds[run.start] == PROSE:
            _mark(tokens, run, kinds)
    for i, kind in enumerate(tokens.types):
        kinds[i] = FRAME if kind == CONTROL else kinds[i]
    _fill(tokens, kinds[:n_prompt], kinds)
    return tuple(kinds)


def _whose(tokens: Tokens, rendered: Rendered | None, i: int) -> str:
    """A kind, or for a message's own text its path."""
    if rendered is None:
        return "text"
    start, end = tokens.spans[i].tolist()
    span = rendered.span_at(start) if 0 <= start < end else None
    if span is None or span.origin not in ("message", "tool"):
        return FRAME
    path = span.path or ""
    if span.origin == "tool":
        return TOOLS
    return CALL if ".tool_calls" in path else FRAME if path.endswith(".role") else path or "text"


def _runs(whose: Sequence[str]) -> Iterator[_Run]:
    """Neighbours of one owner."""
    for _, indices in groupby(range(len(whose)), key=whose.__getitem__):
        run = list(indices)
        yield _Run(run[0], run[-1] + 1)


def _mark(tokens: Tokens, run: _Run, kinds: list[str]) -> None:
    """Tool calls and code in one message, as the output parsers find them.

    The bytes are read as Latin-1: one character a byte, so that places are bytes; the marks are ASCII all.
    """
    pieces = tokens.pieces[run.start : run.end]
    found = parse(b"".join(pieces).decode("latin-1"))
    ends = np.cumsum([len(piece) for piece in pieces])
    spans = [(CODE, block.span) for block in found.code]
    spans += [(CALL, note.span) for note in found.errors if not any(_meet(note.span, span) for _, span in spans)]
    for kind, (start, end) in [*spans, *((CALL, call.span) for call in found.tool_calls)]:
        first, last = np.searchsorted(ends, [start, end - 1], side="right").tolist()
        for i in range(first, min(last + 1, len(pieces))):
            kinds[run.start + i] = kind


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _fill(tokens: Tokens, prompt: Sequence[str], kinds: list[str]) -> None:
    """The template's own letters between two tokens of a call or of the tools; not across a control token."""
    before, since = "", 0
    for i, kind in enumerate(prompt):
        if tokens.types[i] == CONTROL or kind not in (FRAME, before):
            before, since = kind if kind in (CALL, TOOLS) else "", i + 1
        elif kind == before:
            kinds[since:i] = [kind] * (i - since)
            since = i + 1
