"""What the files of a saved trace must hold to be one: kinds, and lengths and shapes that belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np

from workbench.packed import Shaped
from workbench.schema import fault
from workbench.stages import TOKEN_TYPES, Generation, Parsed, Rendered, Scores
from workbench.trace import STAGES
from workbench.values import clip

MOST_INT = 2**31 - 1
COUNT = Annotated[int, (0, MOST_INT)]
PLACE = tuple[Annotated[int, (-1, MOST_INT)], Annotated[int, (-1, MOST_INT)]]
STAGE: Any = Literal.__getitem__(STAGES)
TYPE: Any = Literal.__getitem__(TOKEN_TYPES)
ROWS = tuple(name for name in Scores.ARRAYS if not name.startswith("top_"))  # one number a position
INTS = ("rank", "top_ids")
LOGITS = re.compile(r"logits_(\d{1,9})")


TOKENS: dict[str, Any] = {
    "ids": list[COUNT],
    "pieces": list[bytes],
    "types": list[TYPE],
    "spans": list[PLACE],
    "byte_spans": list[PLACE],
    "added": list[Any],
    "n_vocab": COUNT,
    "notes": list[str],
}
ADDED: dict[str, Any] = {"index": COUNT, "by": str}
STOPPED: dict[str, Any] = {"stage": STAGE, "error": {"message": str}}
TRACE: dict[str, Any] = {
    "setup": dict[str, Any],
    "conversation": dict[str, Any],
    "environment": dict[str, dict[str, Any]],
    "rendered": Rendered | None,
    "generation": Generation | None,
    "parsed": Parsed | None,
    "scores": dict[str, Any] | None,
    "elapsed_ms": dict[str, float],
    "reused": list[str],
    "evaluated": COUNT | None,
    "log": list[str],
}


def wrong_trace(data: Any, shaped: Mapping[str, Shaped]) -> str:
    """What is wrong with `trace.json` beside these arrays, in words; empty where they are a trace."""
    wrong = fault(data, TRACE)
    for name, hints in (("tokens", TOKENS), ("stopped", STOPPED)):
        if wrong is None and data.get(name) is not None:
            wrong = fault(data[name], hints)
            wrong = wrong and wrong._replace(place=f".{name}{wrong.place}")
    if wrong is not None:
        return str(wrong)
    return (
        _wrong_tokens(data.get("tokens"))
        or _wrong_spans(data.get("rendered"))
        or _wrong_steps(data.get("generation"))
        or _wrong_scores(data, shaped)
    )


def logits_in(shaped: Mapping[str, Shaped]) -> list[tuple[str, int]]:
    """The arrays that are full rows of logits, with their positions."""
    return [(name, int(found[1])) for name in shaped if (found := LOGITS.fullmatch(name))]


def _wrong_tokens(tokens: dict[str, Any] | None) -> str:
    if tokens is None:
        return ""
    n = len(tokens["ids"])
    for name in ("pieces", "types", "spans", "byte_spans"):
        if len(tokens[name]) != n:
            return f"there are {n:,} token ids and {len(tokens[name]):,} {name}"
    for added in tokens.get("added", ()):
        if wrong := fault(added, ADDED):
            return f"tokens.added: {wrong}"
        if added["index"] >= n:
            return f"a token was added at {added['index']:,}, and there are {n:,} tokens"
    return ""


def _wrong_spans(rendered: dict[str, Any] | None) -> str:
    """Spans stand side by side from the first character to the last."""
    if not rendered or not rendered.get("spans") or rendered["text"] is None:
        return ""
    ends = [span["end"] for span in rendered["spans"]]
    starts = [span["start"] for span in rendered["spans"]]
    whole = starts == [0, *ends[:-1]] and ends[-1] == len(rendered["text"])
    return "" if whole and starts == sorted(starts) else "the spans of rendered.text do not cover it one by one"


def _wrong_steps(generation: dict[str, Any] | None) -> str:
    """Lists that go side by side are of one length."""
    for i, step in enumerate(generation["steps"] if generation is not None else ()):
        followed = len(step.get("watched", ()))
        pairs = [(step["top_ids"], step["top_logprobs"])]
        pairs += [(stage["top_ids"], stage["top_probs"]) for stage in step["stages"]]
        each = [step.get("pieces", ()), step.get("before", ()), *(stage.get("probs", ()) for stage in step["stages"])]
        if any(len(a) != len(b) for a, b in pairs) or any(len(one) not in (0, followed) for one in each):
            return f"in generation.steps[{i}] lists that belong together have different lengths"
    return ""


def _wrong_scores(data: dict[str, Any], shaped: Mapping[str, Shaped]) -> str:
    """A row for each token, as many candidates in each, and full rows as wide as the vocabulary."""
    if data.get("scores") is None:
        return f"there are arrays and no scores: {clip(next(iter(shaped)), 40)}" if shaped else ""
    tokens = data.get("tokens")
    if tokens is None:
        return "there are scores and no tokens"
    n, n_vocab = len(tokens["ids"]), tokens.get("n_vocab", 0)
    top = shaped["top_ids"].shape if "top_ids" in shaped else ()
    wanted = {name: Shaped(_kind(name), (n,)) for name in ROWS}
    wanted |= {name: Shaped(_kind(name), (n, *top[1:2])) for name in ("top_ids", "top_logprobs")}
    if len(top) != 2 or (n_vocab and top[1] > n_vocab):
        return f"top_ids has the shape {top}, and there are {n:,} tokens of a vocabulary of {n_vocab:,}"
    for name, position in logits_in(shaped):
        width = shaped[name].shape[-1:] if not n_vocab else (n_vocab,)
        wanted |= {name: Shaped(_kind(name), width)} if position < n else {}
    odd = next((name for name in {**wanted, **shaped} if wanted.get(name) != shaped.get(name)), None)
    if odd is None:
        return ""
    has, should = (str(pair[odd].shape) if odd in pair else "not there" for pair in (shaped, wanted))
    return f"the array {clip(odd, 40)!r} is {has} instead of {should}"


def _kind(name: str) -> np.dtype[Any]:
    return np.dtype("<i4" if name in INTS else "<f4")
