"""The token strip's static copy: the tokens around the selection, coloured, with all that is known of each on hover."""

from __future__ import annotations

import html
import math

import numpy as np

from workbench.compare.token_differences import DIFFERENCES, SAME
from workbench.compare.token_facts import TOKEN_ORIGINS, Other, TokenFacts
from workbench.compare.token_search import find
from workbench.errors import WorkbenchError
from workbench.views.candidates import percent
from workbench.views.colouring import NO_STEP, SPEAKERS, Colouring, colouring, colours
from workbench.views.html import clipped, escape, heading, hexed, mark, notes
from workbench.views.palette import FAINT, MONO, TYPES, Pair, style
from workbench.views.tokens import BORDER, LIMIT_TOKENS

SHOWN_PLACES = 20
SHOWN_OTHERS = 8
FACE = "padding:1px 2px;margin-right:2px;border-radius:3px;unicode-bidi:isolate"
SELECTED = "outline:2px solid #1f6fd1"
HIT: Pair = ("#74dcea", "#042e36")
LOOKS_LIKE_CONTROL = "border:1px dotted #c2410c"


def view(facts: TokenFacts, colour: str = "", selection: tuple[int, int] = (0, 0), query: str = "") -> str:
    """The strip around the selection with its legend, the selection and the places of a query; cut with a count."""
    chosen = colouring(facts, colour or colours(facts)[0])
    parts = [heading("Tokens", f"{len(facts):,}"), _legend(chosen), kinds(facts)]
    try:
        hits = find(facts, query)
        parts.append(_found(query, hits))
    except WorkbenchError as error:
        hits = np.zeros((0, 2), np.int32)
        parts.append(notes([str(error)], "Search"))
    if selection[1] > selection[0]:
        parts.append(
            f'<div style="font-size:12px;margin:4px 0">selected: {escape(selected_words(facts, selection))}</div>'
        )
    return "".join([*parts, _strip(facts, chosen, selection, hits)])


def selected_words(facts: TokenFacts, selection: tuple[int, int]) -> str:
    """A range of tokens in words: places, number, bytes, their log-probability in all."""
    start, end = selection
    size = sum(len(piece) for piece in facts.tokens.pieces[start:end])
    places = f"token {start}" if end == start + 1 else f"tokens {start:,}–{end - 1:,}, {end - start:,} tokens"
    known = facts.logprob[start:end]
    known = known[~np.isnan(known)].astype(np.float64)
    scored = f", log-probability {known.sum():.2f} nats" if len(known) else ""
    return f"{places}, {size:,} bytes{scored}"


def words(facts: TokenFacts, i: int) -> str:
    """All that is known of token i, in one line."""
    value, piece = facts.tokens, facts.tokens.pieces[i]
    kind = f"{value.types[i]}, looks like a control token" if facts.control_like[i] else value.types[i]
    parts = [f"#{i}", f"id {int(value.ids[i])}", kind, f"bytes {hexed(piece)}"]
    if facts.rank[i]:
        parts.append(f"probability {percent(math.exp(facts.logprob[i]))}, rank {int(facts.rank[i]):,}")
        parts.append(f"entropy {float(facts.entropy[i]):.2f} nats")
    if facts.rendered is not None:
        parts.append(f"{SPEAKERS[TOKEN_ORIGINS[facts.origin[i]]][0]} {facts.path(i)}".rstrip())
    kinds_of, others = facts.differences
    if facts.other is not None and kinds_of[i] != SAME:
        parts.append(f"{DIFFERENCES[kinds_of[i]]}: the other has {_there(facts.other, *others[i].tolist())}")
    return " · ".join(parts + [f"added by {by}" for index, by in value.added if index == i])


def _there(other: Other, start: int, end: int) -> str:
    pieces = [f"{clipped(piece)} " for piece in other.pieces[start:end]] or [""] * (end - start)
    both = [f"{piece}({name})" for piece, name in zip(pieces, other.ids[start:end], strict=True)]
    more = f" … {len(both):,} tokens" if len(both) > SHOWN_OTHERS else ""
    return " ".join(both[:SHOWN_OTHERS]).replace("\n", "") + more or "nothing"


def kinds(facts: TokenFacts) -> str:
    """How many tokens there are of each special type, and of normal ones that look special."""
    counts = {kind: facts.tokens.types.count(kind) for kind in TYPES if kind != "normal"}
    marks = [
        mark(f"{kind}: {n:,}", FAINT, extra=f"padding:0 6px;margin-right:6px;{TYPES[kind]}")
        for kind, n in counts.items()
        if n
    ]
    if alike := int(facts.control_like.sum()):
        extra = f"padding:0 6px;margin-right:6px;{LOOKS_LIKE_CONTROL}"
        marks.append(mark(f"normal, looks like a control token: {alike:,}", FAINT, extra=extra))
    return f'<div style="font-size:12px;margin:4px 0">{"".join(marks)}</div>' if marks else ""


def _legend(value: Colouring) -> str:
    marks = [
        mark(f"{step.words}: {n:,}", step.pair, extra="padding:0 7px;margin-right:4px")
        for i, step in enumerate(value.steps)
        if step.words and (n := int(np.count_nonzero(value.steps_of == i)))
    ]
    return f'<div style="font-size:12px;margin:4px 0">{escape(value.name)}: {"".join(marks)}</div>' if marks else ""


def _found(query: str, hits: np.ndarray) -> str:
    if not query:
        return ""
    listed = ", ".join(f"{a}" if b == a + 1 else f"{a}–{b - 1}" for a, b in hits[:SHOWN_PLACES].tolist())
    more = f" … {len(hits) - SHOWN_PLACES:,} more" if len(hits) > SHOWN_PLACES else ""
    text = f"search “{query}”: {len(hits):,} places{': tokens ' + listed if listed else ''}{more}"
    return f'<div style="font-size:12px;margin:4px 0">{escape(text)}</div>'


def _strip(facts: TokenFacts, chosen: Colouring, selection: tuple[int, int], hits: np.ndarray) -> str:
    total = len(facts)
    start = 0 if selection[1] <= LIMIT_TOKENS else min(max(0, selection[0] - LIMIT_TOKENS // 4), total - LIMIT_TOKENS)
    end = min(total, start + LIMIT_TOKENS)
    hit = {i for a, b in hits.tolist() for i in range(max(a, start), min(b, end))}
    boxes = []
    for i in range(start, end):
        step = chosen.steps_of[i]
        pair = HIT if i in hit else FAINT if step == NO_STEP else chosen.steps[step].pair
        boxes.append(_box(facts, i, pair, selected=selection[0] <= i < selection[1]))
    face = f"{MONO};font-size:13px;line-height:1.95;white-space:pre-wrap;overflow-wrap:anywhere"
    strip = f'<div style="{face}">{BORDER.join(boxes) or "<i>no tokens</i>"}</div>'
    return _left_out(start, "before") + strip + _left_out(total - end, "behind")


def _left_out(n: int, where: str) -> str:
    return f'<div style="{style(FAINT)};padding:2px 6px">… {n:,} more tokens {where}, not shown</div>' if n else ""


def _box(facts: TokenFacts, i: int, pair: Pair, *, selected: bool) -> str:
    shown = clipped(facts.tokens.pieces[i])
    text = shown.rstrip("\n")
    kind = LOOKS_LIKE_CONTROL if facts.control_like[i] else TYPES.get(facts.tokens.types[i], "")
    face = ";".join(part for part in (style(pair), FACE, kind, SELECTED if selected else "") if part)
    broken = "\n" if text != shown else ""
    return f'<code title="{escape(words(facts, i))}" style="{face}">{html.escape(text)}</code>{broken}'
