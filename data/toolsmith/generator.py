"""Synthetic conversations of a coding agent in which every answer follows from what stands before it.

Half of them come in pairs with the same requests and different tools: what is a call in one has no fitting
tool in the other, so that a request alone never tells whether to call.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import unseen as held_out_names
from families import FAMILIES, PARAMETERS, Family, verb_family
from functions import function_request
from words import Slots

KINDS = ("call", "two calls", "answer", "no tool", "code", "system")
# The share of tools whose name says nothing of what they do; training has more of them, to teach reading descriptions.
UNRELATED = {"train": 0.3, "held-out": 0.1}
# The share of parameters that are called by a word at random, for the same reason.
RANDOM_PARAMETERS = {"train": 0.45, "held-out": 0.3}
NO_TOOL = "I have no tool for that."
_BEFORE = ("", "", "", "please ", "can you ", "could you ", "now ", "ok, ", "next, ")
_AFTER = ("", "", "", "", ".", " please", ", thanks", " now")
_QUESTIONS = ("what", "where", "which", "how", "we ", "in ")
_ERRORS = ("not found", "permission denied", "timed out", "is locked")
_FACTS = {
    "project": ("which project is this", "what is the project called", "name the project"),
    "branch": ("which branch are we on", "what is our branch", "name the branch"),
}


@dataclass(frozen=True)
class Ask:
    """A request for one tool: its family, the values of the arguments, the words."""

    family: Family
    values: tuple[str | int, ...]
    text: str


@dataclass
class Conversation:
    """Messages and tools as a client sends them; `kinds[i]` says what kind of answer message `i` is, if it is one."""

    tools: list[dict[str, Any]]
    messages: list[dict[str, Any]] = field(default_factory=list)
    kinds: list[str | None] = field(default_factory=list)

    def add(self, role: str, content: str, kind: str | None = None, **more: Any) -> None:
        """Append one message."""
        self.messages.append({"role": role, "content": content, **more})
        self.kinds.append(kind)


def conversations(slots: Slots, *, exchanges: int, unseen: bool = False, most_tools: int = 4) -> list[Conversation]:
    """One conversation, or two with the same requests and different tools; `unseen`: tools from the held-out lists."""
    sizes = [slots.random.randint(2, most_tools) for _ in range(2)]
    families = _families(slots, sum(sizes), unseen=unseen)
    kits = families[: sizes[0]], families[sizes[0] :]
    facts = {"project": slots.name(), "branch": slots.name()}
    paired = slots.random.random() < 0.5
    misfits = 0.4 if paired else 0.15
    topics = [_topic(slots, kits[slots.random.random() < misfits]) for _ in range(exchanges)]
    return [_conversation(slots, kit, topics, facts, unseen=unseen) for kit in kits[: 1 + paired]]


def _families(slots: Slots, count: int, *, unseen: bool) -> list[Family]:
    families: list[Family] = []
    while len(families) < count:
        unknown = slots.random.random() < (0.6 if unseen else 0.4)
        family = verb_family(slots, held_out=unseen) if unknown else slots.random.choice(FAMILIES)
        if family.key not in {other.key for other in families}:
            families.append(family)
    return families


def _topic(slots: Slots, kit: list[Family]) -> list[Ask] | tuple[str, str] | str:
    """What one exchange is about: one or two requests for tools, a function and its code, or a fact's name."""
    chance = slots.random.random()
    if chance < 0.10:
        return function_request(slots)
    if chance < 0.15:
        return slots.random.choice(list(_FACTS))
    return [_ask(slots, kit) for _ in range(2 if chance < 0.37 else 1)]


def _ask(slots: Slots, kit: list[Family]) -> Ask:
    family = slots.random.choice(kit)
    values = tuple(slots.fill(kind) for kind in family.parameters)
    return Ask(family, values, slots.random.choice(family.wordings).format(*values))


def _conversation(
    slots: Slots, kit: list[Family], topics: list[Any], facts: dict[str, str], *, unseen: bool
) -> Conversation:
    tools = {family.key: _tool(slots, family, unseen=unseen) for family in kit}
    kit_order = slots.random.sample(list(tools), len(tools))
    conversation = Conversation([{"type": "function", "function": tools[key]} for key in kit_order])
    conversation.add("system", f"You are a coding agent. Project: {facts['project']}. Branch: {facts['branch']}.")
    for topic in topics:
        if isinstance(topic, str):
            conversation.add("user", slots.random.choice(_FACTS[topic]) + slots.random.choice(("", "?")))
            conversation.add("assistant", f"The {topic} is {facts[topic]}.", "system")
        elif isinstance(topic, tuple):
            conversation.add("user", _polite(slots, topic[0]))
            conversation.add("assistant", topic[1], "code")
        else:
            _tool_exchange(slots, conversation, topic, tools)
    return conversation


def _tool_exchange(slots: Slots, conversation: Conversation, asks: list[Ask], tools: dict[str, Any]) -> None:
    joined = slots.random.choice((" and then ", ", then ", " and ")).join(ask.text for ask in asks)
    conversation.add("user", _polite(slots, joined))
    if asks[0].family.key not in tools:
        conversation.add("assistant", NO_TOOL, "no tool")
        return
    calls = [_call(ask, tools[ask.family.key], f"call_{len(conversation.messages)}_{i}") for i, ask in enumerate(asks)]
    conversation.add("assistant", "", "call" if len(calls) == 1 else "two calls", tool_calls=calls)
    if slots.random.random() < 0.65:
        answers = []
        for ask, call in zip(asks, calls, strict=True):
            response, answer = _outcome(slots, ask)
            conversation.add("tool", dumps(response), tool_call_id=call["id"])
            answers.append(answer)
        conversation.add("assistant", " ".join(answers), "answer")


def _tool(slots: Slots, family: Family, *, unseen: bool) -> dict[str, Any]:
    """The tool as a client describes it; a name is usual for what the tool does, or says nothing of it."""
    pick, chance = slots.random.choice, slots.random.random
    names = held_out_names.NAMES.get(family.key, family.names) if unseen else family.names
    name = slots.name() if chance() < UNRELATED[slots.side] else pick(names)
    properties: dict[str, Any] = {}
    for kind in family.parameters:
        known = (held_out_names.PARAMETERS if unseen else PARAMETERS)[kind]
        parameter = slots.word() if chance() < RANDOM_PARAMETERS[slots.side] else pick(known)
        while parameter in properties:
            parameter = slots.word()
        properties[parameter] = {"type": "integer" if kind == "number" else "string"}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": pick(family.descriptions), "parameters": parameters}


def _call(ask: Ask, tool: dict[str, Any], call_id: str) -> dict[str, Any]:
    arguments = dict(zip(tool["parameters"]["properties"], ask.values, strict=True))
    return {"id": call_id, "type": "function", "function": {"name": tool["name"], "arguments": arguments}}


def _outcome(slots: Slots, ask: Ask) -> tuple[dict[str, Any], str]:
    """What the tool returns, and what there is to say about it."""
    if slots.random.random() < 0.12:
        error = f"{slots.random.choice(_ERRORS)} {slots.word()}"
        return {"error": error}, f"That failed: {error}."
    result = {key: sum(ask.values) if kind == "sum" else slots.fill(kind) for key, kind in ask.family.result.items()}
    return result, ask.family.answer.format(*ask.values, **result)


def _polite(slots: Slots, text: str) -> str:
    before = "" if text.startswith(_QUESTIONS) else slots.random.choice(_BEFORE)
    return before + text + slots.random.choice(_AFTER)


def dumps(value: Any) -> str:
    """JSON as transformers' `tojson` writes it."""
    return json.dumps(value, ensure_ascii=False)


def answer_text(message: dict[str, Any]) -> str:
    """The text of an assistant's message, as the template writes it."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    calls = [{"name": call["name"], "arguments": call["arguments"]} for call in calls]
    return message["content"] + "\n".join(f"<tool_call>\n{dumps(call)}\n</tool_call>" for call in calls)


def _shown(function: dict[str, Any]) -> dict[str, Any]:
    """What the prompt tells of a tool: of each parameter its type alone."""
    types = {name: given["type"] for name, given in function["parameters"]["properties"].items()}
    return {"name": function["name"], "description": function["description"], "parameters": types}


def pieces(conversation: Conversation) -> list[tuple[str, bool]]:
    """The rendered conversation in pieces, each with whether the model has to write it; equal to `tool_use.jinja`."""
    tools = "".join(dumps(_shown(tool["function"])) + "\n" for tool in conversation.tools)
    system = conversation.messages[0]["content"]
    found = []
    text = f"<|begin|><|turn|>system\n{system}\n<tools>\n{tools}</tools><|end|>\n"
    for message in conversation.messages[1:]:
        if message["role"] == "assistant":
            found += [(text + "<|turn|>assistant\n", False), (answer_text(message) + "<|end|>", True)]
            text = "\n"
        elif message["role"] == "tool":
            text += f"<|turn|>tool\n<tool_response>\n{message['content']}\n</tool_response><|end|>\n"
        else:
            text += f"<|turn|>{message['role']}\n{message['content']}<|end|>\n"
    return found
