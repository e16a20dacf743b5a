"""What an output parser is: one step that takes its part out of a draft of the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    def _raw_offset(self, position: int) -> int:
        for start, end in self.pieces:
            if position < end - start:
                return start + position
            position -= end - start
        return self.pieces[-1][1] if self.pieces else len(self.raw)

    def without(self, start: int, end: int) -> Draft:
        """The same draft with [start, end) no longer content."""
        pieces: list[Span] = []
        for left, right in self.pieces:
            pieces += [(left, min(right, start)), (max(left, end), right)]
        return replace(self, pieces=tuple((left, right) for left, right in pieces if left < right))

    def call(self, *calls: ToolCall) -> Draft:
        """The same draft with tool calls added."""
        return replace(self, tool_calls=self.tool_calls + calls)

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
