"""Texts that mean harm to a page, and values of every stage that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.widgets import examples
from tests.widgets.mount_strip import tokens_of
from workbench.conversation import Conversation
from workbench.stages import Parsed, ParseNote, Rendered, Scores, Span, Tokens, ToolCall

LONG = 100_000
RUNS = "window.hacked=(window.hacked||0)+1"
# What each is, and the text. All of it is data: a page shows it and does nothing.
TEXTS = {
    "image": f"<img src=x onerror={RUNS}>",
    "script": f"</script><script>{RUNS}</script>",
    "style": "</style><style>*{display:none}</style>",
    "quotes": f'"\' onmouseover={RUNS} x="',
    "template literal": "${" + RUNS + "}`",
    "separators": "a\u2028b\u2029c",
    "surrogate": "\ud800",
    "surrogates swapped": "\udc00\ud800",
    "null": "a\x00b",
    "writes to the left": "\u202egnp.exe\u202c\u2067",
    "prototype": "__proto__",
    "constructor": "constructor",
    "address": f"javascript:{RUNS}",
    "long": "W" * LONG,
    "nothing": "",
}
EVERYTHING = " ".join(text for name, text in TEXTS.items() if name != "long")


def stages(text: str) -> dict[str, Any]:
    """One request in which `text` stands wherever a client, a template, a tokenizer, a model or a parser writes."""
    call = {"id": text, "type": "function", "function": {"name": text, "arguments": {text: text}}}
    messages = [
        {"role": text, "content": text, "name": text, text or "x": {text: [text, None, {text: 1}]}},
        {"role": "assistant", "content": [{"type": text, "text": text}], "tool_calls": [call]},
    ]
    tool = {"type": "function", "function": {"name": text, "description": text, "parameters": {text: text}}}
    body = {"messages": messages, "tools": [tool], text or "y": text}
    return {
        "messages": Conversation.from_dict(body, source=text),
        "rendered": rendered(text),
        "tokens": tokens(text),
        "scores": scores(4),
        "generation": examples.answered(text or "x"),
        "parsed": parsed(text),
    }


def rendered(text: str) -> Rendered:
    whole = f"<|{text}|>\n"
    spans = (
        Span(0, 2, "template", None, 1, 1, True, 0),
        Span(2, 2 + len(text), "message", f"messages[0].{text}", 2, 1, True, 0),
        Span(2 + len(text), len(whole), "template", None, 3, 1, False, None),
    )
    return Rendered(
        text, text, whole, spans=tuple(s for s in spans if s.end > s.start), rewrites=(text,), notes=(text,)
    )


def tokens(text: str) -> Tokens:
    piece = text.encode("utf-8", "surrogatepass")
    found = tokens_of([b"<|", piece, b"|>", b"\n"], ["control", "normal", "control", "normal"])
    size = len(text)
    spans = np.array([(0, 2), (2, 2 + size), (2 + size, 4 + size), (4 + size, 5 + size)])
    added = ((0, text),)
    return Tokens(found.ids, found.pieces, found.types, spans, found.byte_spans, added, 99, (text,))


def scores(n: int) -> Scores:
    """Every figure that is no number, where one could stand."""
    odd = np.array([np.nan, -np.inf, np.inf, -0.0] * n)[:n]
    top = np.stack([odd, odd[::-1]], axis=1)
    return Scores(odd, np.arange(n), odd, odd, odd, np.zeros((n, 2)), top)


def parsed(text: str) -> Parsed:
    call = ToolCall(text, {text: text}, (0, 1))
    note = ParseNote(text, (0, 1))
    return Parsed(
        parser="hermes", raw=text, content=text, reasoning=text, tool_calls=(call,), repairs=(note,), errors=(note,)
    )
