"""Where a prompt's characters and tokens go, and what of the request never reached it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.compare.coverage import Prompt, Stretch, lost, outer
from workbench.compare.parts import Part, parts_of
from workbench.conversation import Conversation
from workbench.stages import Rendered, Span, Tokens
from workbench.values import Value

_MESSAGE = re.compile(r"messages\[(\d+)\]")
_KEPT = ("not handed on", "is not handed on", "does not know it")
_SHOWN = 60  # characters of a stretch that are shown


class Share(NamedTuple):
    """What one origin has of the prompt; `tokens` None where they are not known."""

    origin: str
    name: str
    characters: int
    tokens: int | None


class Missing(NamedTuple):
    """A part of the request of which something is not in the prompt: its path, and what it is in words.

    `characters` of its `size` are not there (both 0 for what has no text), from `start` of its text on; `first` and
    `last` show the first and the last stretch that is missing, equal where there is one. `because` says why, where it
    is known.
    """

    path: str
    words: str
    characters: int = 0
    size: int = 0
    start: int = 0
    first: str = ""
    last: str = ""
    because: str = ""


@dataclass(frozen=True)
class Reach(Value):
    """Who has how much of the prompt, in order of appearance, and what of the request is not in it.

    `missing` are the parts of which something is lost; `quiet` those that most templates leave out (ids, names) or of
    which only white space is lost; `untold` those of which it cannot be told. `known` is False where some characters'
    origins are unknown: there texts were searched for.
    """

    shares: tuple[Share, ...]
    missing: tuple[Missing, ...]
    known: bool = True
    quiet: tuple[Missing, ...] = ()
    untold: tuple[Missing, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """`{shares, missing, known, quiet, untold}`."""
        return {
            "shares": [share._asdict() for share in self.shares],
            "known": self.known,
            **{name: [part._asdict() for part in getattr(self, name)] for name in ("missing", "quiet", "untold")},
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [share._asdict() for share in self.shares]

    def __repr__(self) -> str:
        shares = ", ".join(f"{share.name} {share.characters}" for share in self.shares)
        return f"Reach({shares}; {len(self.missing)} missing)"


def reach(
    conversation: Conversation,
    rendered: Rendered,
    tokens: Tokens | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Reach | None:
    """What became of the request in the prompt; None where there is no prompt.

    A token belongs to the origin of its first character. `reasons` says for a path why it is not there.
    """
    if rendered.text is None:
        return None
    roles = [str(message.get("role")) for message in conversation.messages]
    last = _asks_from(conversation, rendered)
    shares: dict[tuple[str, str], list[int]] = {}
    for span in rendered.spans:
        share = shares.setdefault(_named(span, roles, last), [0, 0])
        share[0] += span.end - span.start
    if tokens is not None:
        for start, _ in tokens.spans:
            span_of = rendered.span_at(int(start)) if start >= 0 else None
            if span_of is not None:
                shares[_named(span_of, roles, last)][1] += 1
    found = tuple(
        Share(origin, name, size, count if tokens is not None else None)
        for (origin, name), (size, count) in shares.items()
    )
    prompt, every = Prompt.of(rendered), _Found(_reasons(rendered) | dict(reasons or {}))
    for part in parts_of(conversation):
        every.look(part, prompt)
    known = not any(span.origin == "unknown" for span in rendered.spans)
    return Reach(found, tuple(every.missing), known, tuple(every.quiet), tuple(every.untold))


class _Found:
    """The parts of which something is missing, as they are found."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.missing: list[Missing] = []
        self.quiet: list[Missing] = []
        self.untold: list[Missing] = []
        self._reasons = reasons

    def look(self, part: Part, prompt: Prompt) -> None:
        """Look for a part; one of which nothing is there is told as a whole."""
        gone = {leaf.path: lost(leaf, prompt) for leaf in part.leaves()}
        self._sort(part, gone)

    def _sort(self, part: Part, gone: dict[str, list[Stretch] | None]) -> None:
        leaves = [leaf for leaf in part.leaves() if not leaf.quiet] or [*part.leaves()]
        if part.inner and not all(_wholly(leaf, gone[leaf.path]) for leaf in leaves):
            for inner in part.inner:
                self._sort(inner, gone)
            return
        stretches = [(0, part.size)] if part.inner else gone[part.path]
        if stretches is None:
            self.untold.append(Missing(part.path, part.words, 0, part.size))
        elif stretches:
            only_space = part.text is not None and not any(part.text[start:end].strip() for start, end in stretches)
            (self.quiet if part.quiet or only_space else self.missing).append(self._told(part, stretches))

    def _told(self, part: Part, stretches: list[Stretch]) -> Missing:
        text = part.text or ""
        shown = [text[start : min(end, start + _SHOWN)] for start, end in (stretches[0], stretches[-1])]
        count = sum(end - start for start, end in stretches)
        because = next((self._reasons[path] for path in (part.path, *outer(part.path)) if path in self._reasons), "")
        return Missing(part.path, part.words, count, part.size, stretches[0][0], shown[0], shown[1], because)


def _wholly(leaf: Part, stretches: list[Stretch] | None) -> bool:
    """Whether nothing of a part is there."""
    return bool(stretches) and (leaf.text is None or stretches == [(0, len(leaf.text))])


def _reasons(rendered: Rendered) -> dict[str, str]:
    """What the engine itself says of the parts of a request that it keeps back."""
    kept = [line.partition(": ")[0] for line in rendered.rewrites if line.endswith(_KEPT)]
    return dict.fromkeys(kept, "the engine does not hand it on to a template")


def _asks_from(conversation: Conversation, rendered: Rendered) -> int:
    """Where the generation prompt begins: behind all messages, at the last condition taken; -1: unknown."""
    behind = max((span.end for span in rendered.spans if span.origin in ("message", "tool")), default=0)
    taken = [event.start for event in rendered.events if event.kind == "if" and event.detail == "taken"]
    if not conversation.add_generation_prompt or not taken or taken[-1] < behind:
        return -1
    return taken[-1]


def _named(span: Span, roles: list[str], last: int) -> tuple[str, str]:
    """Origin and name of a share; what the template writes from `last` on asks for the answer."""
    if span.origin == "template":
        return "template", "asks for the answer" if 0 <= last <= span.start else "template"
    if span.origin == "tool":
        return "tool", "tools"
    message = _MESSAGE.match(span.path or "")
    if message:
        index = int(message[1])
        return span.origin, f"{roles[index] if index < len(roles) else 'message'} (messages[{index}])"
    return span.origin, span.path or span.origin
