"""Text of a request that became special tokens, beside what a tokenisation that trusts the template alone gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.compare.tokens import TokenAlignment
from workbench.stages import Rendered, Span, Tokens, show_bytes
from workbench.values import Value, clip

SPECIAL = ("control", "user_defined", "unknown")
FOREIGN = ("message", "tool", "unknown")  # origins of a span that the template and the engine did not write


class Injected(NamedTuple):
    """A special token of foreign text: its place among the tokens, and where its characters [start, end) are from.

    `path` is the request's field, None where the origin is unknown; `whole` False where the template wrote a part.
    """

    token: int
    id: int
    piece: bytes
    type: str
    path: str | None
    start: int
    end: int
    whole: bool


@dataclass(frozen=True)
class Injection(Value):
    """What a prompt's foreign text became (`found`), and what of it stays in the safe tokenisation (`left`).

    `alignment` holds both: first the stack's own tokens, then the safe ones, in which special tokens count only
    where the template wrote them. llama.cpp matches user-defined tokens in any text, so those are left.
    """

    rendered: Rendered
    alignment: TokenAlignment
    found: tuple[Injected, ...]
    left: tuple[Injected, ...]

    @property
    def tokens(self) -> Tokens:
        """As the stack tokenises the prompt."""
        return self.alignment.a

    @property
    def safe(self) -> Tokens:
        """With special tokens parsed only where the template wrote them."""
        return self.alignment.b

    @property
    def known(self) -> bool:
        """Whether all characters' origins are known: text of unknown origin is taken for foreign."""
        return not any(span.origin == "unknown" for span in self.rendered.spans)

    def to_dict(self) -> dict[str, Any]:
        """`{found, left, known, alignment}`; pieces as visible text."""
        return {
            "found": [_plain(item) for item in self.found],
            "left": [_plain(item) for item in self.left],
            "known": self.known,
            "alignment": self.alignment.to_dict(),
        }

    def _rows(self) -> list[dict[str, Any]]:
        rows = [_plain(item) | {"tokens": "as they are"} for item in self.found]
        return rows + [_plain(item) | {"tokens": "safe"} for item in self.left]

    def __repr__(self) -> str:
        names = clip(" ".join(show_bytes(item.piece) for item in self.found), 60)
        left = f", {len(self.left)} of them also in the safe tokens" if self.left else ""
        return f"Injection({len(self.found)} special tokens in foreign text{f' ({names})' if names else ''}{left})"


def _plain(item: Injected) -> dict[str, Any]:
    return item._asdict() | {"piece": show_bytes(item.piece)}


def injected(rendered: Rendered, tokens: Tokens) -> tuple[Injected, ...]:
    """The special tokens of which some character is not the template's or the engine's own."""
    return tuple(_injected(rendered, tokens))


def _injected(rendered: Rendered, tokens: Tokens) -> Iterator[Injected]:
    text = (rendered.text or "").encode("utf-8", "surrogatepass")
    for i, kind in enumerate(tokens.types):
        if kind not in SPECIAL:
            continue
        (start, end), (first, last) = tokens.spans[i].tolist(), tokens.byte_spans[i].tolist()
        if start >= end or text[first:last] != tokens.pieces[i]:  # added, or an unknown token for other text
            continue
        spans = _covering(rendered, start, end)
        foreign = [span for span in spans if span.origin in FOREIGN]
        if foreign:
            yield Injected(
                i, int(tokens.ids[i]), tokens.pieces[i], kind, foreign[0].path, start, end, len(foreign) == len(spans)
            )


def trusted(rendered: Rendered) -> list[tuple[int, int]]:
    """The ranges of characters that the template or the engine wrote, neighbours joined, sorted."""
    ranges: list[tuple[int, int]] = []
    for span in rendered.spans:
        if span.origin in FOREIGN or span.end == span.start:
            continue
        if ranges and ranges[-1][1] == span.start:
            ranges[-1] = (ranges[-1][0], span.end)
        else:
            ranges.append((span.start, span.end))
    return ranges


def _covering(rendered: Rendered, start: int, end: int) -> list[Span]:
    """The spans that the characters [start, end) are in."""
    found: list[Span] = []
    at = start
    while at < end:
        span = rendered.span_at(at)
        if span is None:
            break
        found.append(span)
        at = span.end
    return found
