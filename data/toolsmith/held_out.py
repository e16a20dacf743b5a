"""The 500 held-out requests, a fifth of them on tools, names and parameters that training never saw.

`python held_out.py` writes held_out.jsonl and says what training shares with it: nothing. `--check` only compares.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

import unseen as names
from families import FAMILIES, PARAMETERS
from generator import answer_text, conversations, dumps
from tokenizer import BEGIN, CONTROL
from words import Slots

HERE = Path(__file__).parent
QUOTAS = {"call": 200, "two calls": 60, "answer": 80, "no tool": 80, "code": 50, "system": 30}


@dataclass(frozen=True)
class HeldOut:
    """A request and its one right answer; `unseen`: on tools, names and parameters that training never saw."""

    kind: str
    unseen: bool
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    answer: str

    @property
    def prompt(self) -> str:
        """The request as the template `tool_use` writes it."""
        given = {"messages": self.messages, "tools": self.tools, "bos_token": CONTROL[BEGIN]}
        return _template().render(given, add_generation_prompt=True)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Name and arguments of each call of the right answer."""
        found = json.loads("[" + ",".join(_between(self.answer, "<tool_call>", "</tool_call>")) + "]")
        return [dict(call) for call in found]

    def line(self, number: int) -> str:
        """The request with its right answer as one line of JSON."""
        facts = {"id": f"{self.kind.replace(' ', '-')}-{number:03}", "kind": self.kind, "unseen": self.unseen}
        content = "" if self.calls else self.answer
        given = {"messages": self.messages, "tools": self.tools, "answer": self.answer}
        return dumps(facts | given | {"content": content, "calls": self.calls})


def held_out(seed: str = "test") -> list[HeldOut]:
    """The same 500 requests for the same seed."""
    found = []
    for unseen in (False, True):
        slots = Slots(f"{seed} {unseen}", "held-out")
        left = Counter({kind: count // 5 if unseen else count - count // 5 for kind, count in QUOTAS.items()})
        while left.total():
            exchanges = slots.random.choice((1, 1, 1, 2, 3, 4))
            conversation = slots.random.choice(conversations(slots, exchanges=exchanges, unseen=unseen))
            places = [i for i, kind in enumerate(conversation.kinds) if kind and left[kind]]
            if places:
                place = slots.random.choice(places)
                kind = str(conversation.kinds[place])
                left[kind] -= 1
                before, answer = conversation.messages[:place], answer_text(conversation.messages[place])
                found.append(HeldOut(kind, unseen, tuple(before), tuple(conversation.tools), answer))
    return found


def shared_with_training(requests: list[HeldOut], conversations_made: int = 3000) -> set[str]:
    """Words, numbers and unseen names that held-out requests share with freshly made training data: none."""
    training = Slots("separation", "train")
    made = [one for _ in range(conversations_made) for one in conversations(training, exchanges=6)]
    held = Slots("test False", "held-out"), Slots("test True", "held-out")
    for slots, unseen in zip(held, (False, True), strict=True):
        for _ in range(conversations_made):
            conversations(slots, exchanges=4, unseen=unseen)
    trained = {name for one in made for tool in one.tools for name in _names(tool)}
    unseen_names = {name for one in requests if one.unseen for tool in one.tools for name in _names(tool)}
    listed = {name for family in FAMILIES for name in family.names}
    listed |= {name for group in PARAMETERS.values() for name in group}
    return (training.used & (held[0].used | held[1].used)) | (trained & unseen_names) | (listed & names.RESERVED)


def _names(tool: dict[str, Any]) -> list[str]:
    function = tool["function"]
    return [function["name"], *function["parameters"]["properties"]]


def _between(text: str, start: str, end: str) -> list[str]:
    return [part.partition(end)[0] for part in text.split(start)[1:]]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701  (a prompt is not HTML)
    environment.filters["tojson"] = dumps
    return environment.from_string((HERE / "tool_use.jinja").read_text())


def main() -> int:
    """Write the requests that `workbench.damage` runs."""
    requests = held_out()
    text = "".join(request.line(number) + "\n" for number, request in enumerate(requests, 1))
    file, shared = HERE / "held_out.jsonl", shared_with_training(requests)
    if "--check" not in sys.argv[1:]:
        file.write_text(text)
    print(f"{len(requests)} requests; shared with training: {shared or 'nothing'}")
    return int(bool(shared) or file.read_text() != text)


if __name__ == "__main__":
    sys.exit(main())
