"""What an output parser is: one step that takes its part out of a draft of the answer."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from workbench.stages import CodeBlock, ParseNote, ToolCall

Span = tuple[int, int]


@dataclass(frozen=True)
class Draft:
    """An answer that is being parsed; all offsets are code points of `raw`, which never changes.

    `pieces` are the stretches that are still content, `reasoning` those that are reasoning (None: the
    answer has no such part). `prompt_tail` is the end of the prompt, because a template may have opened
    a tag there; `complete` is false where the model was cut off.
    """

    raw: str
    prompt_tail: str
    complete: bool
    pieces: tuple[Span, ...]
    reasoning: tuple[Span, ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    repairs: tuple[ParseNote, ...] = ()
    errors: tuple[ParseNote, ...] = ()
    code: tuple[CodeBlock, ...] = ()

    @property
    def content(self) -> str:
        """The content as it stands in the raw text, nothing stripped."""
        return self.text_of(self.pieces)

    def text_of(self, spans: tuple[Span, ...]) -> str:
        """The raw text of some spans, joined."""
        return "".join(self.raw[start:end] for start, end in spans)

    def raw_span(self, start: int, end: int) -> Span:
        """Where the characters [start, end) of `content` stand in `raw`, from the first to the last of them."""
        return self._raw_offset(start), self._raw_offset(end - 1) + 1 if end > start else self._raw_offset(start)

    @cached_property
    def _piece_starts(self) -> list[int]:
        """Where each piece begins in `content`, and the content's length."""
        return [0, *itertools.accumulate(end - start for start, end in self.pieces)]

    def _raw_offset(self, position: int) -> int:
        piece = bisect.bisect_right(self._piece_starts, position) - 1
        if piece < len(self.pieces):
            return self.pieces[piece][0] + position - self._piece_starts[piece]
        return self.pieces[-1][1] if self.pieces else len(self.raw)

    def without(self, *spans: Span) -> Draft:
        """The same draft with these spans, in order and apart, no longer content."""
        pieces: list[Span] = []
        first = 0  # the first span that may still reach into a piece
        for start, right in self.pieces:
            left = start
            while first < len(spans) and spans[first][1] <= left:
                first += 1
            at = first
            while at < len(spans) and spans[at][0] < right:
                pieces.append((left, spans[at][0]))
                left = max(left, spans[at][1])
                at += 1
            first = max(first, at - 1)
            pieces.append((left, right))
        return replace(self, pieces=tuple((left, right) for left, right in pieces if left < right))

    def repaired(self, message: str, start: int, end: int) -> Draft:
        """The same draft with a repair noted: what was accepted although it is not as the format wants it."""
        return replace(self, repairs=(*self.repairs, ParseNote(message, (start, end))))

    def failed(self, message: str, start: int, end: int) -> Draft:
        """The same draft with an error noted."""
        return replace(self, errors=(*self.errors, ParseNote(message, (start, end))))


class OutputParser(Protocol):
    """One format. `name` selects it; `marks` are the texts that it lives by.

    A mark that is a control token of the model is kept in the answer's text, so that it can be read.
    """

    name: str
    marks: tuple[str, ...]

    def applies(self, draft: Draft) -> bool:
        """Whether the text shows this format: how "auto" selects."""
        ...

    def take(self, draft: Draft) -> Draft:
        """The draft with this format's parts taken out. Never raises, whatever the text."""
        ...
