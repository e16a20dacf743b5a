"""What the page of the tokenizer's switches is told: a row a switch, token types, what an altered copy takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.compare.effect import Effect
from workbench.compare.token_search import token_id
from workbench.gguf.token_types import NUMBERS
from workbench.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from workbench.tokenizers.switches import Switch, Switches
from workbench.views import html_of
from workbench.views.html import clipped, fold
from workbench.views.switches import copy_words, shown_value
from workbench.views.tokens_alignment import verdict
from workbench.widgets.payload import clean


def switch_facts(before: Switches, now: Switches, pieces: Mapping[int, bytes]) -> dict[str, Any]:
    """`{model, vocabulary, rows, kinds, pre, copy, no_copy}`; `pieces` are the tokens that ids stand for."""
    return {
        "model": clean(before.model),
        "vocabulary": clean(before.vocabulary),
        "rows": [_row(switch, now[switch.name], pieces) for switch in before.switches],
        "kinds": list(NUMBERS),
        "pre": list(PRE_TOKENIZERS),
        "copy": copy_words(now),
        "no_copy": clean(now.no_copy),
    }


def _row(before: Switch, now: Switch, pieces: Mapping[int, bytes]) -> dict[str, Any]:
    """One switch: `before` in words, `how` it reaches llama.cpp, what its ids stand for."""
    sides = (("before", before.value), ("now", now.value)) if before.kind == "id" else ()
    return {
        "name": before.name,
        "words": before.words,
        "kind": before.kind,
        "before": clean(shown_value(before.value)),
        "removable": before.name.startswith("metadata.") and before.value is not None,
        "how": now.way,
        "idle": before.idle,
        "pieces": {name: clipped(pieces[i]).replace("\n", "") for name, i in sides if i in pieces},
    }


def effect_facts(found: Effect | None) -> dict[str, Any] | None:
    """`{verdict, harmless}` of an effect, None for none."""
    return {"verdict": verdict(found.alignment), "harmless": found.harmless} if found is not None else None


def effect_page(found: Effect | None) -> str:
    """The effect as static HTML, and behind a fold every token after the change; empty where there is none."""
    return html_of(found) + fold("All tokens after the change", html_of(found.after)) if found is not None else ""


def token_of(text: str) -> int | str:
    """A token as it was typed: `id:2`, or its text as the file writes it. Errors: `BadRequest`."""
    return token_id(text.removeprefix("id:")) if text.startswith("id:") else text


def token_words(which: int | str) -> str:
    """A token as it is typed."""
    return f"id:{which}" if isinstance(which, int) else clean(which)
