"""The held-out requests of toolsmith, each with its one right answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workbench.conversation import Conversation
from workbench.data import held_out_file
from workbench.errors import BadFile, BadRequest
from workbench.values import FrozenJSON

KINDS = ("call", "two calls", "answer", "no tool", "code", "system")
CALL_KINDS = ("call", "two calls")


@dataclass(frozen=True)
class Task:
    """One request and what the model has to say.

    `answer` is the right answer as toolsmith writes it; `content` and `calls` (name and arguments of each, in
    order) are what a client has to get out of it. `unseen`: tools and names that training never had.
    """

    id: str
    kind: str
    unseen: bool
    conversation: Conversation
    answer: str
    content: str
    calls: FrozenJSON

    @property
    def wanted_calls(self) -> list[tuple[str, Any]]:
        """`(name, arguments)` of each call, in order."""
        return [(call["name"], call["arguments"]) for call in self.calls.value()]


def tasks(count: int | None = None) -> tuple[Task, ...]:
    """The held-out requests, all 500 or `count` of them, each kind in proportion. Errors: `BadRequest`, `BadFile`."""
    found = _all()
    if count is None or count == len(found):
        return found
    if isinstance(count, bool) or not 1 <= count <= len(found):
        raise BadRequest(f"{count} requests were asked for", f"accepted are 1 to {len(found)}")
    return tuple(found[i * len(found) // count] for i in range(count))


@lru_cache(maxsize=1)
def _all() -> tuple[Task, ...]:
    path = held_out_file()
    try:
        lines = path.read_text("utf-8").splitlines()
        found = [_task(json.loads(line)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{path} cannot be read as held-out requests: {error}",
            "expected one JSON object a line",
            "install gguf-workbench again",
        ) from error
    return tuple(sorted(found, key=_order))


def _order(task: Task) -> tuple[int, bool]:
    return KINDS.index(task.kind), task.unseen


def _task(data: dict[str, Any]) -> Task:
    request = {"messages": data["messages"], "tools": data["tools"]}
    return Task(
        data["id"],
        data["kind"],
        data["unseen"],
        Conversation.from_dict(request, source=data["id"]),
        data["answer"],
        data["content"],
        FrozenJSON(data["calls"]),
    )


def by_kind(found: Sequence[Task]) -> dict[str, int]:
    """How many requests of each kind."""
    return {kind: sum(task.kind == kind for task in found) for kind in KINDS}
