"""Where a prompt's characters and tokens go, and what of the request never reached it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from workbench.conversation import Conversation
from workbench.stages import Rendered, Span, Tokens
from workbench.values import Value

_MESSAGE = re.compile(r"messages\[(\d+)\]")
_STEP = re.compile(r"[.\[]")
_STEPS = 5  # of a path, such as messages[0].tool_calls[1].function, within which a part may lie
# A field of a message that a template may write, and what it is in words.
_FIELDS = (
    ("content", "text"),
    ("reasoning_content", "reasoning"),
    ("reasoning", "reasoning"),
    ("thinking", "reasoning"),
)


class Share(NamedTuple):
    """What one origin has of the prompt; `tokens` None where they are not known."""

    origin: str
    name: str
    characters: int
    tokens: int | None


class Missing(NamedTuple):
    """A part of the request that is not in the prompt: its path, and what it is in words."""

    path: str
    words: str


@dataclass(frozen=True)
class Reach(Value):
    """Who has how much of the prompt, in order of appearance, and what of the request is not in it.

    `known` is False where some characters' origins are unknown: then something that is called missing may be
    among those.
    """

    shares: tuple[Share, ...]
    missing: tuple[Missing, ...]
    known: bool = True

    def to_dict(self) -> dict[str, Any]:
        """`{shares, missing, known}`."""
        return {
            "shares": [share._asdict() for share in self.shares],
            "missing": [part._asdict() for part in self.missing],
            "known": self.known,
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [share._asdict() for share in self.shares]

    def __repr__(self) -> str:
        shares = ", ".join(f"{share.name} {share.characters}" for share in self.shares)
        return f"Reach({shares}; {len(self.missing)} missing)"


def reach(conversation: Conversation, rendered: Rendered, tokens: Tokens | None = None) -> Reach | None:
    """What became of the request in the prompt; None where there is no prompt or its origins were not followed.

    A token belongs to the origin of its first character.
    """
    if rendered.text is None or (rendered.text and all(span.origin == "unknown" for span in rendered.spans)):
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
    paths = {span.path for span in rendered.spans if span.path}
    there = _inside_of(paths)
    missing = tuple(part for part in _parts(conversation) if not _reached(part.path, paths, there))
    return Reach(found, missing, not any(span.origin == "unknown" for span in rendered.spans))


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


def _parts(conversation: Conversation) -> Iterator[Missing]:
    """Everything in the request that a model might be meant to read."""
    for index, message in enumerate(conversation.messages):
        path, role = f"messages[{index}]", message.get("role")
        for field, what in _FIELDS:
            yield from _texts(message.get(field), f"{path}.{field}", f"the {role} message's {what}")
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else ()):
            yield Missing(f"{path}.tool_calls[{number}]", f"the call of {_name_of(call)}")
    for index, tool in enumerate(conversation.tools or ()):
        yield Missing(f"tools[{index}]", f"the tool {_name_of(tool)}")
    for index, _ in enumerate(conversation.documents or ()):
        yield Missing(f"documents[{index}]", "a document")


def _name_of(item: Any) -> str:
    function = item.get("function") if isinstance(item, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return str(name) if name is not None else "without a name"


def _texts(value: Any, path: str, words: str) -> Iterator[Missing]:
    if isinstance(value, str) and value.strip():
        yield Missing(path, words)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind != "text" or str(part.get("text", "")).strip():
                yield Missing(f"{path}[{index}]", words if kind == "text" else f"a part of type {kind}")


def _inside_of(paths: set[str]) -> set[str]:
    """The paths, and those of everything that they lie within, as far down as `_parts` goes."""
    found = set(paths)
    for path in paths:
        ends = [step.start() for step in islice(_STEP.finditer(path), _STEPS)]
        found.update(path[:end] for end in ends)
    return found


def _reached(path: str, paths: set[str], there: set[str]) -> bool:
    """Whether some character is from `path`, from within it, or from the whole that it is dumped with."""
    whole = re.match(r"(messages\[\d+\]\.content)\[\d+\]$", path)  # a list printed as one
    return path in there or bool(whole and whole[1] in paths)
