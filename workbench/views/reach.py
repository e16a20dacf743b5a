"""Where a prompt goes: a bar of who has how much of it, and what of the request is not in it."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.compare.reach import Missing, Reach
from workbench.views.html import cut, escape, heading, notes, table
from workbench.views.palette import LINE, ORIGINS, style

LIMIT_SHARES = 200
LIMIT_MISSING = 100  # sentences
LIMIT_LISTED = 6  # paths in one sentence


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
    missing = missing_words(value)
    parts += [notes(missing[:LIMIT_MISSING], "Not in the prompt"), cut(LIMIT_MISSING, len(missing), "parts")]
    return "".join(parts) + notes(quiet_words(value))


def missing_words(value: Reach) -> list[str]:
    """What of the request is not in the prompt, by how much of it, one sentence each."""
    return [one_words(part) for part in value.missing]


def quiet_words(value: Reach) -> list[str]:
    """What is left out as usual, and what cannot be told, a sentence for each kind."""
    spaces = [part for part in value.quiet if not (part.first + part.last).strip()]
    others = [part for part in value.quiet if part not in spaces]
    lines = [f"only white space of {_listed(spaces)} is not in the prompt"] if spaces else []
    lines += [f"most templates leave it out: {_listed(others)}"] if others else []
    untold = "some origins are unknown, and the text does not tell"
    return lines + (
        [f"not evaluated, whether it is in the prompt: {_listed(value.untold)} ({untold})"] if value.untold else []
    )


def _listed(parts: Iterable[Missing]) -> str:
    parts = list(parts)
    shown = ", ".join(part.path for part in parts[:LIMIT_LISTED])
    return shown + (f" and {len(parts) - LIMIT_LISTED:,} more" if len(parts) > LIMIT_LISTED else "")


def one_words(part: Missing) -> str:
    """One part: all of it or how many of its characters, where they begin, and why."""
    why = f"; {part.because}" if part.because else ""
    if not part.size:
        return f"{part.words} ({part.path}){why}"
    if part.characters == part.size:
        return f"{part.words} ({part.path}), all {part.size:,} characters{_shown(part.first)}{why}"
    last = f", the last missing ones{_shown(part.last)}" if part.last != part.first else ""
    where = f"from character {part.start:,} on{_shown(part.first)}{last}"
    return f"{part.characters:,} of {part.size:,} characters of {part.words} ({part.path}), {where}{why}"


def _shown(text: str) -> str:
    return f": {text!r}" if text else ""
