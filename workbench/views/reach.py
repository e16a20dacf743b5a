"""Where a prompt goes: a bar of who has how much of it, and what of the request is not in it."""

from __future__ import annotations

from workbench.compare.reach import Reach
from workbench.views.html import cut, escape, heading, notes, table
from workbench.views.palette import LINE, ORIGINS, style

LIMIT_SHARES = 200
UNSURE = "; some characters' origins are unknown, so it may be among those"


def view(value: Reach) -> str:
    """The bar, its parts in a table, and what is missing."""
    total = sum(share.characters for share in value.shares) or 1
    box = f"display:inline-block;overflow:hidden;height:18px;line-height:18px;border-right:1px solid {LINE}"
    bar = "".join(
        f'<span title="{escape(f"{share.name}: {share.characters:,} characters")}" '
        f'style="{box};{style(ORIGINS[share.origin])};width:{99 * share.characters / total:.2f}%">&#8203;</span>'
        for share in value.shares[:LIMIT_SHARES]
    )
    rows = [
        [
            f'<span style="{style(ORIGINS[share.origin])};padding:0 6px">{escape(share.name)}</span>',
            escape(f"{share.characters:,}"),
            escape("" if share.tokens is None else f"{share.tokens:,}"),
            escape(f"{100 * share.characters / total:.1f} %"),
        ]
        for share in value.shares[:LIMIT_SHARES]
    ]
    parts = [heading("Where the prompt goes"), f'<div style="white-space:nowrap;margin:4px 0">{bar}</div>']
    parts.append(table(("origin", "characters", "tokens", "share"), rows))
    parts.append(cut(len(rows), len(value.shares), "origins"))
    return "".join(parts) + notes(missing_words(value), "Not in the prompt")


def missing_words(value: Reach) -> list[str]:
    """What of the request is not in the prompt, one sentence each."""
    unsure = "" if value.known else UNSURE
    return [f"{part.words} ({part.path}){unsure}" for part in value.missing]
