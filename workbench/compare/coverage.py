"""How much of a text stands in a prompt: by the origins of its characters, and where these are unknown by search."""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from workbench.compare.parts import Part
from workbench.stages import Rendered, Span

Stretch = tuple[int, int]  # of a text, [start, end)
_SURE = 8  # characters of a text that do not stand in another one by chance
_SEARCHED = 200_000  # characters of a text that is searched for piece by piece
_STEP = re.compile(r"[.\[]")
_SPACE = re.compile(r"\s+")
# The ways in which a template or an engine writes a text.
_WAYS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: _go(json.dumps(text, ensure_ascii=False)[1:-1]),
    lambda text: json.dumps(json.dumps(text, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    html.escape,
    lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;"),
    lambda text: text.replace("\r\n", "\n"),
)


def _go(text: str) -> str:
    """What Go's JSON does to it beyond."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@dataclass(frozen=True)
class Prompt:
    """A prompt's stretches by the path they are from, those of unknown origin apart."""

    by_path: dict[str, list[tuple[Span, str]]]
    joined: dict[str, str]  # the same, put together
    paths: tuple[str, ...]  # sorted
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, rendered: Rendered) -> Prompt:
        """Of a render that has a text."""
        text = rendered.text or ""
        by_path: dict[str, list[tuple[Span, str]]] = {}
        for span in rendered.spans:
            if span.path and span.origin in ("message", "tool"):
                by_path.setdefault(span.path, []).append((span, text[span.start : span.end]))
        unknown = tuple(text[span.start : span.end] for span in rendered.spans if span.origin == "unknown")
        joined = {path: "".join(one for _, one in stretches) for path, stretches in by_path.items()}
        return cls(by_path, joined, tuple(sorted(by_path)), unknown if rendered.spans else (text,))

    def own(self, path: str) -> list[tuple[Span, str]]:
        """The stretches that are from this very field."""
        return self.by_path.get(path, [])

    def around(self, path: str) -> list[str]:
        """The texts of what holds a field, of itself and of what is in it, each put together: a dump is in pieces."""
        return [self.joined[other] for other in (*outer(path), *self._inside(path)) if other in self.joined]

    def _inside(self, path: str) -> Iterator[str]:
        for at in range(bisect_left(self.paths, path), len(self.paths)):
            other = self.paths[at]
            if not other.startswith(path):
                return
            if other == path or other[len(path)] in ".[":
                yield other


def outer(path: str) -> Iterator[str]:
    """The paths of all that holds a field."""
    return (path[: step.start()] for step in _STEP.finditer(path) if step.start())


def lost(part: Part, prompt: Prompt) -> list[Stretch] | None:
    """The stretches of a part's text that are not in the prompt, in order; None where that cannot be told."""
    text = part.text
    if text is None:
        there = bool(prompt.around(part.path))
        return [] if there else None if prompt.unknown else [(0, 0)]
    if not part.plain:
        return _of_a_value(part, prompt)
    left = _complement(
        [
            (span.offset, span.offset + span.end - span.start)
            for span, _ in prompt.own(part.path)
            if span.verbatim and span.offset is not None
        ],
        len(text),
    )
    near = prompt.around(part.path)
    if left == [(0, len(text))]:
        left = _rest(text, (0, len(text)), near, 1)
    else:
        left = [piece for gap in left for piece in _rest(text, gap, near, len(text))]
    if not left or not prompt.unknown:
        return left
    rest = [piece for gap in left for piece in _rest(text, gap, prompt.unknown, _SURE)]
    if rest == left and any(end - start < _SURE for start, end in rest if text[start:end].strip()):
        return None  # a short text may have been changed to anything
    return rest


def _of_a_value(part: Part, prompt: Prompt) -> list[Stretch] | None:
    """A number or the like: it is there where something is from it, or a text around it has it."""
    text = part.text or ""
    if prompt.own(part.path):
        return []
    ways = {text, {"true": "True", "false": "False", "null": "None"}.get(text, text)}
    if any(way in near for way in ways for near in prompt.around(part.path)):
        return []
    return None if prompt.unknown else [(0, len(text))]


def _complement(stretches: Iterable[tuple[int, int]], size: int) -> list[Stretch]:
    found, at = [], 0
    for start, end in sorted(stretches):
        if start > at:
            found.append((at, start))
        at = max(at, end)
    return [*found, (at, size)] if at < size else found


def _rest(text: str, gap: Stretch, texts: Iterable[str], least: int) -> list[Stretch]:
    """What of a stretch of `text` is in none of `texts`; a piece counts that has `least` characters or is all of it."""
    start, end = gap
    wanted, texts = text[start:end], [one for one in texts if one]
    if not texts or not wanted.strip():
        return [gap]
    if _holds(wanted, texts):
        return []
    inner = wanted.strip()
    if inner and inner != wanted and _holds(inner, texts):
        at = start + wanted.index(inner)
        return [piece for piece in ((start, at), (at + len(inner), end)) if piece[0] < piece[1]]
    if len(wanted) > _SEARCHED:
        return [gap]
    head = _longest(lambda size: wanted[:size], len(wanted), texts)
    head = head if head >= min(least, len(wanted)) else 0
    tail = _longest(lambda size: wanted[len(wanted) - size :], len(wanted) - head, texts)
    tail = tail if tail >= max(least, 4) else 0
    middle = _middle(wanted, texts, least) if not head and not tail else None
    if middle is not None:
        return [piece for piece in ((start, start + middle[0]), (start + middle[1], end)) if piece[0] < piece[1]]
    return [(start + head, end - tail)]


def _middle(wanted: str, texts: list[str], least: int) -> Stretch | None:
    """Where in a text all of another one stands, of which neither has the beginning or the end in common."""
    lower = wanted.lower()
    for text in texts:
        inner = text.strip().lower()
        if len(inner) >= max(least, 4) and len(lower) == len(wanted) and inner in lower:
            return lower.index(inner), lower.index(inner) + len(inner)
    return None


def _longest(piece: Callable[[int], str], most: int, texts: list[str]) -> int:
    """How many characters from one end are in the texts."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if _holds(piece(middle), texts):
            low = middle
        else:
            high = middle - 1
    return low


def _holds(text: str, texts: Iterable[str]) -> bool:
    """Whether one of the texts has this one, in any of the ways in which it may be written."""
    ways = {way(text) for way in _WAYS}
    if any(way in one for one in texts for way in ways):
        return True
    return any(_folded(text) in _folded(one) for one in texts)


@lru_cache(maxsize=64)
def _folded(text: str) -> str:
    """A text without white space and in one case."""
    return _SPACE.sub("", text).casefold()
