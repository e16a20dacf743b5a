"""Origins for an engine that cannot tell them: from a run of the engine `transformers` that writes the same text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from workbench.engines.base import Job
from workbench.engines.transformers import Transformers

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered, RenderError, Span

# Errors that the two engines name differently and mean the same by.
_SYNTAX = ("LexerError", "ParserError", "TemplateSyntaxError", "TemplateAssertionError")
_SYNTAX_WORDS = ("lexer: ", "parser: ")  # in the reason of a server that does not start


def with_origins(rendered: Rendered, job: Job, *, cancel: Cancel | None = None) -> Rendered:
    """`rendered` with spans and events from another run of `job`, the request as the engine changed it.

    Where the other run raised, a more lenient one is tried; where it wrote another text, only what both begin and
    end with is taken over, and no events.
    For an error without a place, the place of the same error there.
    """
    if not job.track:
        return rendered
    other = Transformers().render(job, cancel=cancel)
    if rendered.error is not None:
        return _placed(rendered, other.error)
    if not rendered.text:
        return rendered
    if other.text is None and (spans := _forgiven(rendered.text, job, cancel)):
        wrote = "the same text" if spans[-1].origin != "unknown" else "the same text up to its unknown end"
        note = f"origins are those of a run of jinja2 that forgives what it would raise for, and wrote {wrote}"
        return replace(rendered, spans=spans, notes=(*rendered.notes, note))
    if other.text is None:
        why = f": {other.error.type}: {other.error.message}" if other.error else ""
        note = f"origins are unknown: the engine transformers, which tells them, fails on this request{why}"
        return replace(rendered, notes=(*rendered.notes, note))
    if rendered.text == other.text:
        note = "origins are those of a run of the engine transformers, which wrote the same text"
        return replace(rendered, spans=other.spans, events=other.events, notes=(*rendered.notes, note))
    bos = dict(job.template.special_tokens).get("bos_token", "")
    if bos and other.text == bos + rendered.text:
        note = "origins are those of a run of the engine transformers, which wrote the same text behind a BOS"
        return _cut(replace(rendered, spans=other.spans, events=other.events, notes=(*rendered.notes, note)), len(bos))
    spans = _shared(rendered.text, other.text, other.spans)
    note = "some origins are unknown: the engine transformers, which tells them, writes another text there"
    return replace(rendered, spans=spans, notes=(*rendered.notes, note))


def _cut(rendered: Rendered, size: int) -> Rendered:
    """Spans and events of a text whose first `size` characters were taken off."""
    spans = []
    for span in rendered.spans:
        lost = max(size - span.start, 0)
        if span.end > size:
            offset = span.offset + lost if span.offset is not None else None
            spans.append(span._replace(start=span.start + lost - size, end=span.end - size, offset=offset))
    events = [e._replace(start=max(e.start - size, 0), end=max(e.end - size, 0)) for e in rendered.events]
    return replace(rendered, spans=tuple(spans), events=tuple(events))


def _forgiven(text: str, job: Job, cancel: Cancel | None) -> tuple[Span, ...]:
    """The spans of a run more lenient than the engine transformers, none where `text` does not begin with all of its.

    A server may write an assistant's last message behind it.
    """
    from workbench.stages import Span  # heavy: it brings numpy

    other = Transformers().forgiving(job, cancel=cancel)
    if not other.text or not text.startswith(other.text):
        return ()
    end = len(other.text)
    behind = [Span(end, len(text), "unknown", None, None, None, False, None)] if end < len(text) else []
    return (*other.spans, *behind)


def _placed(rendered: Rendered, error: RenderError | None) -> Rendered:
    own = rendered.error
    if own is None or own.line is not None or error is None or error.line is None:
        return rendered
    syntax = own.type in _SYNTAX or any(words in own.message for words in _SYNTAX_WORDS)
    same = own.message == error.message or (syntax and error.type in _SYNTAX)
    if not same:
        return rendered
    note = "the engine does not say where the error is: this is where jinja2 finds it"
    placed = own._replace(line=error.line, column=error.column)
    return replace(rendered, error=placed, notes=(*rendered.notes, note))


def _shared(text: str, other: str, spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The spans of `other` that stand wholly in what it begins and ends with as `text` does, between them unknown.

    A part of a span may be alike by chance.
    """
    from workbench.stages import Span
    from workbench.values import shared_start

    head = shared_start(text, other)
    tail = shared_start(text[head:][::-1], other[head:][::-1])
    shift = len(text) - len(other)
    before = [span for span in spans if span.end <= head]
    behind = [span for span in spans if span.start >= len(other) - tail]
    start = before[-1].end if before else 0
    end = behind[0].start + shift if behind else len(text)
    gap = [Span(start, end, "unknown", None, None, None, False, None)] if end > start else []
    moved = [span._replace(start=span.start + shift, end=span.end + shift) for span in behind]
    return (*before, *gap, *moved)


def split(spans: tuple[Span, ...], path: str, parts: list[tuple[int, str | None]]) -> tuple[Span, ...]:
    """`spans` with those of the field `path` named by the parts that the field was joined from.

    `parts`: where each begins in the joined text, and its own path, None for what was put between.
    """
    edges = [*[start for start, _ in parts], None]
    found: list[Span] = []
    for span in spans:
        if span.path != path or span.offset is None or not span.verbatim:
            found.append(span)
            continue
        for (begin, end), (_, own) in zip(pairwise(edges), parts, strict=True):
            low = max(span.offset, begin or 0)
            high = min(span.offset + span.end - span.start, end if end is not None else 1 << 62)
            if low >= high:
                continue
            start = span.start + low - span.offset
            piece = span._replace(start=start, end=start + high - low, offset=low - (begin or 0), path=own)
            found.append(piece if own else piece._replace(origin="default", path=path, offset=None, verbatim=False))
    return tuple(found)
