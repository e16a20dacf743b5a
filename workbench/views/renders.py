"""One request as several engines wrote it: who agrees, the first difference, then all of them."""

from __future__ import annotations

import html

from workbench.compare.renders import Agreement, Renders
from workbench.compare.rewrites import Rewritten
from workbench.compare.text import Difference
from workbench.stages import Rendered
from workbench.views import fields, tokens_alignment
from workbench.views import rendered as one
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, visible, wrong
from workbench.views.palette import FAINT, GOOD, MONO, NOTE, WRONG, Pair

LIMIT_CHARACTERS = 20_000
LIMIT_DIFFERENCES = 400
LIMIT_ALIKE = 2_000  # characters of a stretch that is alike


def view(value: Renders) -> str:
    """A table of the engines, each text against that of `base`, and that by origin."""
    parts = [heading("The same request by each engine", _verdict(value)), _engines(value)]
    package = value.package_words()
    parts.append(
        wrong(package) if value.package_agrees is False else notes([package] if package else [], "transformers")
    )
    parts += [_against(value, value.base, group) for group in value.groups if value.base not in group]
    if value.base is not None:
        group = next(group for group in value.groups if value.base in group)
        parts.append(fold(f"The text of {_names(group)}, by origin", _whole(value[value.base])))
    parts.append(fields.side_by_side(value.measured))
    told = {one.engine for one in value.rewritten}
    parts += [view_rewritten(one) for one in value.rewritten]
    for found in value.renders:
        if found.engine not in told:
            parts.append(notes([f"{found.engine}: {rewrite}" for rewrite in found.rewrites], "Rewritten"))
    parts += [notes([f"{item.engine}: {item.reason}" for item in value.absent], "Not evaluated")]
    said = [f"{found.engine}: {note}" for found in value.renders for note in found.notes]
    return "".join(parts) + (fold(f"What the engines say ({len(said)})", notes(said)) if said else "")


def view_rewritten(value: Rewritten) -> str:
    """Each change in words, and both requests as one text with what went and what came."""
    changes = value.differences
    both = marked(*value.texts, changes)
    said = notes([f"{value.engine}: {words}" for words in value.words], "Rewritten")
    return said + fold(f"The request as sent, and as {value.engine}'s template saw it ({len(changes)} changes)", both)


def view_agreement(value: Agreement) -> str:
    """One row a request, one column an engine: the same letter is the same text."""
    rows = []
    for name, found in value.requests:
        letters = value.letters(name)
        shown = [_cell(letters.get(engine, ""), found, engine) for engine in value.engines]
        rows.append([escape(name), *shown])
    head = heading("Which engines agree", f"{len(value.requests)} requests; the same letter is the same text")
    return head + table(("request", *value.engines), rows)


def _cell(letter: str, found: Renders, engine: str) -> str:
    why = next((item.reason for item in found.absent if item.engine == engine), "")
    failed = next(
        (one.error_words(rendered) for rendered in found.renders if rendered.engine == engine and rendered.error), ""
    )
    pair = FAINT if why else WRONG if failed else GOOD if letter == "A" else NOTE
    return mark(letter, pair, why or failed, "padding:0 6px")


def _verdict(value: Renders) -> str:
    written = [group for group in value.groups if value[group[0]].text is not None]
    if not written:
        return "none wrote a text"
    if len(written) == 1:
        return f"all {len(written[0])} that wrote a text agree"
    return f"{len(written)} different texts"


def _names(group: tuple[str, ...]) -> str:
    return ", ".join(group[:-1]) + " and " + group[-1] if len(group) > 1 else group[0]


def _engines(value: Renders) -> str:
    rows = []
    ids = dict(value.ids)
    for number, group in enumerate(value.groups, 1):
        for engine in group:
            found = value[engine]
            said = one.error_words(found) if found.error else f"{len(found.text or ''):,} characters"
            said += f", {len(ids[engine]):,} tokens" if engine in ids else ""
            rows.append(
                [escape(str(number) if found.error is None else "–"), escape(engine), escape(said), code(found.version)]
            )
    return table(("text", "engine", "wrote", "version"), rows)


def _against(value: Renders, first: str | None, group: tuple[str, ...]) -> str:
    """Another text beside the first, or the error of its engine."""
    found = value[group[0]]
    if found.text is None or first is None:
        return heading(_names(group)) + wrong(one.error_words(found))
    where = value.first_difference(first, group[0])
    if where is None:
        return ""
    said = f"{_names(group)} part from {first} at character {where.offset:,}, line {where.line}"
    same = value.same_ids(first, group[0])
    said += "" if same is None else "; same ids" if same else "; other ids"
    rows = [
        [escape(engine), code(where.before) + mark(visible(text) or "∅", pair, extra=MONO)]
        for engine, text, pair in ((first, where.a, WRONG), (group[0], where.b, GOOD))
    ]
    changes = value.differences(first, group[0])
    inside = marked(value[first].text or "", found.text, changes)
    shown = heading(said) + table(("", "first difference"), rows) + fold(f"All differences ({len(changes):,})", inside)
    aligned = value.alignment(first, group[0])
    return shown + (fold("As tokens", tokens_alignment.view(aligned)) if aligned is not None else "")


def marked(a: str, b: str, changes: tuple[Difference, ...]) -> str:
    """Text `a` with what is only in it and what is only in `b` marked, white space and control characters visible."""
    parts, at = [], 0
    for change in changes[:LIMIT_DIFFERENCES]:
        parts.append(_alike(a[at : change.start_a]))
        at = change.end_a
        if gone := a[change.start_a : change.end_a]:
            parts.append(_only(gone, WRONG, "only in the first", "text-decoration:line-through"))
        if new := b[change.start_b : change.end_b]:
            parts.append(_only(new, GOOD, "only in the second"))
    rest = a[at:] if len(changes) <= LIMIT_DIFFERENCES else ""
    parts.append(html.escape(visible(rest[:LIMIT_CHARACTERS])))
    box = f"{MONO};font-size:13px;line-height:1.6;white-space:pre-wrap;overflow-wrap:anywhere"
    left = cut(min(len(changes), LIMIT_DIFFERENCES), len(changes), "differences")
    left += cut(min(len(rest), LIMIT_CHARACTERS), len(rest), "characters")
    return f'<div style="{box}">{"".join(parts)}</div>{left}'


def _alike(text: str) -> str:
    """A stretch that both texts have; of a long one its beginning and its end."""
    if len(text) <= LIMIT_ALIKE:
        return html.escape(visible(text))
    half = LIMIT_ALIKE // 2
    left_out = f"… {len(text) - LIMIT_ALIKE:,} characters that are alike …"
    shown = [html.escape(visible(part)) for part in (text[:half], text[-half:])]
    return mark(left_out, FAINT).join(shown)


def _only(text: str, pair: Pair, title: str, extra: str = "") -> str:
    """A stretch that one of the texts has, cut with a count."""
    shown = mark(visible(text[:LIMIT_CHARACTERS], spaces=True), pair, title, extra)
    return shown + cut(min(len(text), LIMIT_CHARACTERS), len(text), "characters")


def _whole(found: Rendered) -> str:
    return one.legend(found) + one.text(found)
