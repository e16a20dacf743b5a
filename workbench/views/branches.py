"""Answers from one prompt, side by side: where each branch left the first one, and how it went on."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from workbench.views.candidates import percent
from workbench.views.generation import why
from workbench.views.html import escape, heading, mark, table, visible_bytes
from workbench.views.palette import FAINT, MONO, NOTE

if TYPE_CHECKING:
    from workbench.compare.branches import Branch, Branches

LIMIT_CHARACTERS = 4_000
HEAD = ("", "answer", "stopped by", "evaluated anew")


def view(value: Branches) -> str:
    """One row an answer: what it shares with the first is faint, the token that was put in is marked."""
    first = ["sampled", _box(_text(value.base.raw)), escape(why(value.base)), "–"]
    rows = [first, *(_row(branch) for branch in value.branches)]
    return heading("Branches", f"{len(value.branches)} from {len(value.tokens):,} prompt tokens") + table(HEAD, rows)


def _row(branch: Branch) -> list[str]:
    likely = f", probability {percent(math.exp(branch.logprob))}" if branch.logprob is not None else ""
    title = f"id {branch.token} at step {branch.step}{likely}"
    text = mark(_cut(visible_bytes(branch.shared, spaces=False)), FAINT) if branch.shared else ""
    text += mark(visible_bytes(branch.piece), NOTE, title, "font-weight:600") + _text(branch.generation.raw)
    evaluated = "–" if branch.evaluated is None else f"{branch.evaluated:,} tokens"
    return [escape(f"step {branch.step}"), _box(text), escape(why(branch.generation)), escape(evaluated)]


def _box(content: str) -> str:
    return f'<div style="{MONO};font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere">{content}</div>'


def _text(raw: bytes) -> str:
    return html.escape(_cut(visible_bytes(raw, spaces=False))) if raw else "<i>nothing</i>"


def _cut(text: str) -> str:
    more = len(text) - LIMIT_CHARACTERS
    return f"{text[:LIMIT_CHARACTERS]}… ({more:,} more characters not shown)" if more > 0 else text
