"""`<think>…</think>`: the reasoning that a model writes before its answer.

The tag may have been opened by the template, at the prompt's end: then only the closing tag is in the
answer. A tag counts at the answer's start (behind white space or an earlier block); further in it is
text about tags, as in "the <think> tag".
"""

from __future__ import annotations

from dataclasses import replace

from workbench.parsers.base import Draft, Span

OPEN, CLOSE = "<think>", "</think>"


class Think:
    """Takes reasoning blocks out of the answer."""

    name = "think"
    marks: tuple[str, ...] = (OPEN, CLOSE)

    def applies(self, draft: Draft) -> bool:
        """A tag in the text, or one that the prompt left open."""
        return OPEN in draft.raw or CLOSE in draft.raw or _opened(draft.prompt_tail)

    def take(self, draft: Draft) -> Draft:
        """The draft with its leading blocks as reasoning."""
        spans: list[Span] = []
        position = 0
        if _opened(draft.prompt_tail):
            draft, position = _take_open(draft, spans)
        elif not _closed(draft.prompt_tail):
            draft, position = _take_unopened(draft, spans)
        draft, position = _take_blocks(draft, spans, position)
        draft = _note_left_over(draft, position)
        return replace(draft, reasoning=tuple(spans)) if spans else draft


def _opened(prompt_tail: str) -> bool:
    return prompt_tail.rstrip().endswith(OPEN)


def _closed(prompt_tail: str) -> bool:
    return prompt_tail.rstrip().endswith(CLOSE)


def _take_open(draft: Draft, spans: list[Span]) -> tuple[Draft, int]:
    """The block that the prompt opened, from the answer's first character on."""
    start = _skip_space(draft.raw, 0)
    if draft.raw.startswith(OPEN, start):
        after = start + len(OPEN)
        draft = draft.repaired("the prompt had opened <think> already; the second tag is ignored", start, after)
        return _take_one(draft.without((start, after)), spans, after)
    return _take_one(draft, spans, 0)


def _take_unopened(draft: Draft, spans: list[Span]) -> tuple[Draft, int]:
    """A block whose opening tag is neither in the answer nor at the end of the prompt."""
    close = draft.raw.find(CLOSE)
    if close < 0 or 0 <= draft.raw.find(OPEN) < close:
        return draft, 0
    end = close + len(CLOSE)
    draft = draft.repaired("</think> without <think>: all before it is read as reasoning", close, end)
    return _take_one(draft, spans, 0)


def _take_blocks(draft: Draft, spans: list[Span], position: int) -> tuple[Draft, int]:
    while draft.raw.startswith(OPEN, start := _skip_space(draft.raw, position)):
        after = start + len(OPEN)
        draft, position = _take_one(draft.without((start, after)), spans, after)
    return draft, position


def _take_one(draft: Draft, spans: list[Span], start: int) -> tuple[Draft, int]:
    """Reasoning from `start` to its closing tag, or to the end where there is none."""
    close = draft.raw.find(CLOSE, start)
    if close < 0:
        why = "the answer ends inside the reasoning" if draft.complete else "the answer was cut off in the reasoning"
        draft = draft.failed(f"{why}: {CLOSE} is missing, so there is no content", start, len(draft.raw))
        close = end = len(draft.raw)
    else:
        end = close + len(CLOSE)
    spans.append((start, close))
    return draft.without((start, end)), end


def _note_left_over(draft: Draft, position: int) -> Draft:
    """Tags that stay in the content: said, because another client may read them differently."""
    for tag in (OPEN, CLOSE):
        found = draft.raw.find(tag, position)
        if found >= 0:
            message = f"{tag} stands inside the answer, not at its start: it was left in the content"
            draft = draft.repaired(message, found, found + len(tag))
    return draft


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
