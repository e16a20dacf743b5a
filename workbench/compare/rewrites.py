"""What an engine changed in a request before its template saw it, as a difference of the two requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.compare.text import Difference, differences
from workbench.conversation import Conversation
from workbench.nesting import indented
from workbench.stages import Rendered
from workbench.values import FrozenJSON, Value

# What of a request a template can see, and what stands where it is not given.
_SEEN: dict[str, Any] = {
    "messages": [],
    "tools": None,
    "documents": None,
    "add_generation_prompt": True,
    "chat_template_kwargs": {},
}


@dataclass(frozen=True)
class Rewritten(Value):
    """The request as it was sent and as `engine`'s template was given it; `words` say each change."""

    engine: str
    before: FrozenJSON
    after: FrozenJSON
    words: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, str]:
        """Both requests as JSON, indented."""
        one, other = (indented(part.value(), 2) for part in (self.before, self.after))
        return one, other

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What differs between the two texts."""
        return differences(*self.texts)

    def to_dict(self) -> dict[str, Any]:
        """`{engine, before, after, words}`."""
        return {
            "engine": self.engine,
            "before": self.before.value(),
            "after": self.after.value(),
            "words": list(self.words),
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [{"engine": self.engine, "change": words} for words in self.words]

    def __repr__(self) -> str:
        return f"Rewritten({self.engine}, {len(self.words)} changes)"


def rewritten(conversation: Conversation, rendered: Rendered) -> Rewritten | None:
    """What `rendered`'s engine changed in the request; None where nothing, or where it cannot be told."""
    if rendered.request is None or not rendered.rewrites:
        return None
    after = rendered.request.value()
    given = conversation.data.get("chat_template_kwargs") or {}
    named = {words.partition(":")[0] for words in rendered.rewrites}  # variables that the template never reads are not
    kwargs = after.get("chat_template_kwargs") or {}
    after["chat_template_kwargs"] = {name: value for name, value in kwargs.items() if name in given or name in named}
    return Rewritten(rendered.engine, _visible(conversation.data), _visible(after), rendered.rewrites)


def _visible(body: dict[str, Any]) -> FrozenJSON:
    """The part of a request that a template can see, what is as it would be anyway left out."""
    found = {name: body[name] for name, usual in _SEEN.items() if name in body and body[name] not in (usual, None)}
    return FrozenJSON(found)
