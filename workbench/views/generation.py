"""The answer: its text, why it stopped, and each step with the candidates before and after the samplers."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from workbench.stages import Generation, Step
from workbench.views.candidates import name, percent
from workbench.views.html import code, cut, escape, fold, heading, table, visible
from workbench.views.palette import MONO, probability_pair
from workbench.views.tokens import BORDER, piece

LIMIT_STEPS = 600
LIMIT_ROWS = 150
SHOWN_CANDIDATES = 4


def view(value: Generation) -> str:
    """The answer with ids only for candidates that were never drawn."""
    return view_with(value, {})


def view_with(value: Generation, pieces: Mapping[int, bytes]) -> str:
    """The answer; `pieces` by id name the candidates."""
    known = {**pieces, **{step.id: step.piece for step in value.steps}}
    box = f"{MONO};font-size:13px;line-height:1.95;white-space:pre-wrap;overflow-wrap:anywhere"
    boxes = BORDER.join(_step_box(i, step) for i, step in enumerate(value.steps[:LIMIT_STEPS]))
    parts = [
        heading("Answer", f"{len(value):,} tokens, stopped by {why(value)}"),
        f'<div style="{box}">{html.escape(visible(value.text)) or "<i>empty answer</i>"}</div>',
        f'<div style="{box};margin-top:6px">{boxes}</div>{cut(min(len(value), LIMIT_STEPS), len(value), "tokens")}',
    ]
    if value.steps:
        parts.append(fold("Each step: candidates and samplers", _table(value, known)))
    return "".join(parts)


def why(value: Generation) -> str:
    """Why the generation ended, with its detail where there is one."""
    return f"{value.stop_reason} ({value.stop_detail})" if value.stop_detail else value.stop_reason


def step_words(index: int, step: Step) -> str:
    """One step in words: place, id, probability, rank."""
    return f"#{index} · id {step.id} · {step.type} · probability {percent(math.exp(step.logprob))}, rank {step.rank}"


def samplers(step: Step) -> str:
    """What each sampler of the chain left: `top_k 40 → top_p 3 → dist 3`."""
    return " → ".join(f"{stage.name} {stage.n_left:,}" for stage in step.stages) or "none"


def _step_box(index: int, step: Step) -> str:
    return piece(step.piece, step.type, probability_pair(math.exp(step.logprob)), step_words(index, step))


def _table(value: Generation, pieces: Mapping[int, bytes]) -> str:
    rows = [
        [
            escape(i),
            code(name(step.id, pieces)),
            escape(percent(math.exp(step.logprob))),
            escape(step.rank),
            code(_best(step, pieces)),
            escape(samplers(step)),
        ]
        for i, step in enumerate(value.steps[:LIMIT_ROWS])
    ]
    head = ("step", "token", "probability", "rank", "the model's candidates", "left after each sampler")
    return table(head, rows) + cut(len(rows), len(value), "steps")


def _best(step: Step, pieces: Mapping[int, bytes]) -> str:
    pairs = list(zip(step.top_ids, step.top_logprobs, strict=True))[:SHOWN_CANDIDATES]
    return "  ".join(f"{name(i, pieces)} {percent(math.exp(lp))}" for i, lp in pairs)
