"""Two tokenisations beside each other: what differs, block by block, each with the tokens before and behind it."""

from __future__ import annotations

from workbench.compare.beside import Beside, first_words
from workbench.compare.effect import Effect
from workbench.compare.token_blocks import Block, Kind, Range
from workbench.compare.tokens import TokenAlignment
from workbench.stages import Tokens
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table
from workbench.views.palette import FAINT, GOOD, NOTE, WRONG, Pair
from workbench.views.tokens import BORDER, piece, title

LIMIT_BLOCKS = 200
LIMIT_TOKENS = 24  # of one side of a block
LIMIT_CASES = 300
AROUND = 3  # tokens shown before and behind a block
KIND_PAIRS: dict[Kind, Pair] = {
    "same": FAINT,
    "split": NOTE,
    "merged": NOTE,
    "changed": WRONG,
    "inserted": GOOD,
    "lost": WRONG,
}


def view(value: TokenAlignment) -> str:
    """The verdict, how many blocks of each kind, and every block that differs."""
    parts = [heading("Two tokenisations", verdict(value)), _counts(value)]
    different = [(i, block) for i, block in enumerate(value.blocks) if block.kind != "same"]
    rows = [_row(value, block) for _, block in different[:LIMIT_BLOCKS]]
    if rows:
        parts.append(table(("byte", "", *value.names), rows))
    return "".join(parts) + cut(len(rows), len(different), "differences")


def view_effect(value: Effect) -> str:
    """What was changed, whether it matters here, and the alignment."""
    told = value.changes.value()
    rows = [[code(name), escape(_plain(one)), escape(_plain(other))] for name, (one, other) in told.items()]
    aside = "the model reads and stops as before" if value.harmless else "not the same to the model"
    parts = [heading("Effect of a change", aside), table(("setting", "before", "after"), rows)]
    if value.ends and value.ends[0] != value.ends[1]:
        one, other = (", ".join(map(str, ids)) or "none" for ids in value.ends)
        parts.append(notes([f"ids that end an answer: {one} before, {other} after"], "Other ends"))
    return "".join(parts) + view(value.alignment)


def view_beside(value: Beside) -> str:
    """How many texts agree, and those that do not, each with its first difference and all of them in a fold."""
    same = len(value.cases) - len(value.different)
    parts = [heading(f"{value.names[0]} | {value.names[1]}", f"the same on {same} of {len(value.cases)} texts")]
    parts.append(notes(value.notes))
    shown = value.different[:LIMIT_CASES]
    rows = []
    for group, name, found, error in shown:
        sizes = f"{len(found.a):,} | {len(found.b):,}" if found else "–"
        words = first_words(next(case for case in shown if (case.group, case.name) == (group, name)))
        rows.append([escape(group), escape(name), escape(sizes), code(words) if not error else escape(error)])
    if rows:
        parts.append(table(("group", "text", "tokens", "first difference"), rows))
    first = next((case.alignment for case in shown if case.alignment), None)
    parts.append(fold("All differences of the first text that differs", view(first)) if first else "")
    return "".join(parts) + cut(len(shown), len(value.different), "texts that differ")


def verdict(value: TokenAlignment) -> str:
    """Whether the two are the same to a model, in words."""
    sizes = f"{len(value.a):,} | {len(value.b):,} tokens"
    if value.same_ids:
        return f"{sizes}, same ids" + ("" if value.same_text else ", other text")
    if value.agree:
        return f"{sizes}, the same pieces under other ids"
    return sizes + ("" if value.same_text else ", the texts differ")


def _counts(value: TokenAlignment) -> str:
    marks = [
        mark(f"{kind}: {n:,}", KIND_PAIRS[kind], extra="padding:1px 6px;margin-right:6px")
        for kind in KIND_PAIRS
        if (n := value.counts[kind])
    ]
    return f'<div style="font-size:12px;margin:4px 0">{"".join(marks)}</div>' if marks else ""


def _row(value: TokenAlignment, block: Block) -> list[str]:
    return [
        escape(f"{block.bytes_a[0]:,}"),
        mark(block.kind, KIND_PAIRS[block.kind], extra="padding:0 6px"),
        _tokens(value.a, block.a, KIND_PAIRS[block.kind]),
        _tokens(value.b, block.b, KIND_PAIRS[block.kind]),
    ]


def _tokens(tokens: Tokens, where: Range, pair: Pair) -> str:
    """The tokens of one side, quiet ones around them; ∅ where there are none."""
    first, end = where
    before = [_box(tokens, i, FAINT) for i in range(max(0, first - AROUND), first)]
    inside = [_box(tokens, i, pair) for i in range(first, min(end, first + LIMIT_TOKENS))]
    left = [escape(f"… {end - first - LIMIT_TOKENS:,} more …")] if end - first > LIMIT_TOKENS else []
    behind = [_box(tokens, i, FAINT) for i in range(end, min(len(tokens), end + AROUND))]
    nothing = [mark("∅", pair, "no token")] if first == end else []
    return BORDER.join([*before, *nothing, *inside, *left, *behind])


def _box(tokens: Tokens, i: int, pair: Pair) -> str:
    return piece(tokens.pieces[i], tokens.types[i], pair, title(tokens, i))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
