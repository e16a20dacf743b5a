"""Hand-made values of one small request: no template engine and no model is needed to show them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.conversation import Conversation
from workbench.stages import (
    TOKEN_TYPES,
    CodeBlock,
    Generation,
    Parsed,
    ParseNote,
    Rendered,
    SamplerStage,
    Scores,
    Span,
    Step,
    Tokens,
    ToolCall,
)

HOSTILE = "<x> </script><img src=x onerror=alert(1)> \U0001f469\u200d\U0001f680 \u202eabc"


def stages(content: str = "Where is <Paris>?", answer: str = "In France.") -> dict[str, Any]:
    """One user message, its prompt, one token a word, scores, and an answer of three tokens."""
    conversation = Conversation.from_dict({"messages": [{"role": "user", "content": content}]})
    rendered = prompt(content)
    tokens = split(rendered)
    generation = answered(answer)
    parsed = Parsed(
        parser="hermes",
        raw=answer,
        content=answer,
        tool_calls=(ToolCall("look_up", {"city": "<Paris>"}, (0, 2)),),
        errors=(ParseNote("the call is not closed", (3, 5)),),
        code=(CodeBlock("python", "print(1)", (0, 2), None),),
    )
    return {
        "messages": conversation,
        "rendered": rendered,
        "tokens": tokens,
        "scores": scored(len(tokens)),
        "generation": generation,
        "parsed": parsed,
    }


def prompt(content: str) -> Rendered:
    """A chat prompt with spans for template, role and content."""
    parts = [
        ("<|im_start|>", "template", None, None),
        ("user", "message", "messages[0].role", 0),
        ("\n", "template", None, None),
        (content, "message", "messages[0].content", 0),
        ("<|im_end|>\n", "template", None, None),
    ]
    spans, at = [], 0
    for line, (text, origin, path, offset) in enumerate(parts, 1):
        if text:
            spans.append(Span(at, at + len(text), origin, path, line, 1, True, offset))  # type: ignore[arg-type]
        at += len(text)
    return Rendered("transformers", "0", "".join(text for text, *_ in parts), spans=tuple(spans))


def split(rendered: Rendered) -> Tokens:
    """Special markers whole, everything else in stretches of up to four characters; one BOS in front."""
    text, pieces, spans, types = rendered.text or "", [b"<s>"], [(0, 0)], ["control"]
    at = 0
    while at < len(text):
        mark = next((m for m in ("<|im_start|>", "<|im_end|>") if text.startswith(m, at)), None)
        end = at + len(mark) if mark else min(len(text), at + 4)
        stop = text.find("<|im_", at + 1, end)
        end = stop if stop > 0 and not mark else end
        pieces.append(text[at:end].encode("utf-8", "surrogatepass"))
        spans.append((at, end))
        types.append("control" if mark else "normal")
        at = end
    return token_values(pieces, types, spans)


def token_values(pieces: list[bytes], types: list[str], spans: list[tuple[int, int]]) -> Tokens:
    ids = np.arange(len(pieces)) + 10
    return Tokens(ids, tuple(pieces), tuple(types), np.array(spans), np.array(spans), ((0, "bos: add_bos_token"),), 999)


def scored(n: int, k: int = 5) -> Scores:
    """Probabilities that fall from one half to one in ten thousand and begin again."""
    logprob = np.log(np.array([0.6, 0.2, 0.03, 0.004, 0.0001] * (n // 5 + 1))[:n])
    logprob[-1] = np.nan
    rank = np.arange(n) % 7 + 1
    rank[-1] = 0
    top = np.log(np.tile(np.array([0.6, 0.2, 0.1, 0.05, 0.01])[:k], (n, 1)))
    ids = np.tile(np.arange(k) + 10, (n, 1))
    ones = np.ones(n)
    return Scores(logprob, rank, ones, ones, ones, ids, top)


def answered(text: str) -> Generation:
    """The answer in three tokens, then the end-of-turn token."""
    third = max(1, math.ceil(len(text) / 3))
    pieces = [text[i : i + third].encode("utf-8", "surrogatepass") for i in range(0, len(text), third)]
    steps = [step(piece, 0.9 / (i + 1)) for i, piece in enumerate(pieces)] + [step(b"<|im_end|>", 0.99, "control")]
    return Generation(tuple(steps), "end-of-generation", "<|im_end|>", text)


def step(piece: bytes, probability: float, kind: str = TOKEN_TYPES[0]) -> Step:
    stage = SamplerStage("top_k", 40, 49112, (7, 8), (0.7, 0.3))
    lps = (math.log(probability), math.log(0.01))
    return Step(7, piece, kind, lps[0], 1, 0.5, 0.2, (7, 8), lps, (stage, stage._replace(name="dist", n_left=1)))
