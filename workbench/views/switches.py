"""The switches of a tokenizer: what the file says, what the setup makes of it, and how that reaches llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.views.html import code, escape, heading, notes, table
from workbench.views.palette import FAINT, style

if TYPE_CHECKING:
    from workbench.tokenizers.switches import Switch, Switches


def view(value: Switches) -> str:
    """A row a switch, those that the setup decides in bold; the tokens with another type; what a copy takes."""
    parts = [heading("Tokenizer switches", f"{value.model}, {value.vocabulary}")]
    parts.append(table(("setting", "", "the file", "this setup", "how"), [_row(switch) for switch in value.switches]))
    if value.retyped:
        rows = [[escape(r.id), code(r.text), escape(r.own), escape(r.type)] for r in value.retyped]
        parts.append(table(("id", "token", "the file", "this setup"), rows))
    parts.append(f'<div style="{style(FAINT)};padding:2px 6px">{escape(copy_words(value))}</div>')
    return "".join(parts) + notes([value.no_copy] if value.no_copy else [], "No copy")


def copy_words(value: Switches) -> str:
    """What an altered copy takes, and that the file itself stays as it is."""
    sizes = f"{_size(value.copy_bytes)} for tokenising, {_size(value.weights_bytes)} when the model runs"
    now = "This setup needs an altered copy" if value.copies else "Taking a key out, or another type, needs a copy"
    return f"{now} ({sizes}). The file itself is never changed."


def shown_value(value: Any) -> str:
    """A switch's value in words."""
    if value is None:
        return "not said"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _row(switch: Switch) -> list[str]:
    now = "taken out" if switch.replaced and switch.value is None else shown_value(switch.value)
    told = f"<b>{escape(now)}</b>" if switch.replaced else escape("as the file")
    return [
        code(switch.name),
        escape(switch.words),
        escape(shown_value(switch.own)),
        told,
        escape(switch.idle or switch.way),
    ]


def _size(n: int) -> str:
    """Bytes for people, in units of 1024."""
    if n < 1 << 20:
        return f"{n / 1024:.0f} KiB"
    return f"{n / (1 << 20):.1f} MiB" if n < 1 << 30 else f"{n / (1 << 30):.1f} GiB"
