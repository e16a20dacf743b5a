"""A vocabulary or what was found in it: its special tokens, what passes for one, and the tokens in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.stages import TOKEN_TYPES
from workbench.views.html import code, cut, escape, fold, heading, notes, table, visible_bytes
from workbench.views.palette import FAINT, TYPES, style

if TYPE_CHECKING:
    from workbench.tokenizers.entry import VocabularyEntry
    from workbench.tokenizers.lookalikes import Lookalike
    from workbench.tokenizers.vocabulary import Vocabulary

LIMIT_ROWS = 200
LIMIT_NOTES = 50


def view(value: Vocabulary) -> str:
    """How many tokens of each type, what to look at, and the tokens."""
    shown = f"{len(value):,} of {value.n_vocab:,} tokens" if len(value) != value.n_vocab else f"{len(value):,} tokens"
    about = f"{shown}; {value.kind}, pre-tokenizer {value.pre or 'not said'}"
    parts = [heading(f"Vocabulary of {value.name}", about), _kinds(value)]
    retyped = [_retyped(value, i) for i in value.retyped]
    parts.append(notes(retyped[:LIMIT_NOTES], "Retyped") + cut(min(LIMIT_NOTES, len(retyped)), len(retyped), "notes"))
    alike = [f"{_named(value, item.id)}: {item.why}" for item in value.lookalikes]
    parts.append(notes(alike[:LIMIT_NOTES], "Looks special") + cut(min(LIMIT_NOTES, len(alike)), len(alike), "notes"))
    if len(value) == value.n_vocab:
        special = value.of_type("control", "user_defined", "unknown")
        parts.append(fold(f"Special tokens ({len(special):,})", _table(value, special)))
    return "".join(parts) + _table(value, value.ids.tolist())


def view_entry(value: VocabularyEntry) -> str:
    """One token: what it is, what it passes for or what passes for it, and the merges that lead to it."""
    rows = [[escape(name), code(words)] for name, words in facts(value)]
    parts = [heading(f"Token {value.id}", visible_bytes(value.piece)), table(("", ""), rows)]
    parts.append(notes((alike_words(value, item) for item in value.alike), "Looks special"))
    made = value.derivation
    if made is None:
        return "".join(parts)
    parts.append(notes([made.note] if made.note else [], "Merges"))
    merges = [
        [escape(f"{m.rank:g}"), code(f"{m.left} + {m.right}"), escape("–" if m.id is None else m.id)]
        for m in made.merges[:LIMIT_ROWS]
    ]
    parts.append(table(("rank", "merge", "makes id"), merges) if merges else "")
    return "".join(parts) + cut(len(merges), len(made.merges), "merges")


def facts(value: VocabularyEntry) -> list[tuple[str, str]]:
    """Name and words of everything that one line says of a token."""
    says = f", the file says {value.file_type}" if value.file_type != value.type else ""
    found = [
        ("id", str(value.id)),
        ("type", value.type + says),
        ("bytes", value.piece.hex(" ") or "none"),
        ("in the file", visible_bytes(value.text, spaces=False)),
    ]
    does = [*(f"the file's {name}" for name in value.named), *(["ends an answer"] if value.ends else [])]
    return [*found, ("is", ", ".join(does))] if does else found


def alike_words(value: VocabularyEntry, item: Lookalike) -> str:
    """Why two tokens pass for each other, seen from this one."""
    return item.why if item.id == value.id else f"id {item.id} passes for this one: {item.why}"


def remarks(value: Vocabulary, token: int, roles: dict[int, str]) -> str:
    """What a list says behind a token: the role that the metadata give it, and whether it ends an answer."""
    return ", ".join([*([roles[token]] if token in roles else []), *(["ends an answer"] if value.ends[token] else [])])


def roles(value: Vocabulary) -> dict[int, str]:
    """By id the first role that the metadata name it for."""
    return {token: name for name, token in reversed(value.named)}


def _kinds(value: Vocabulary) -> str:
    counts = [(kind, int((value.types[value.ids] == i).sum())) for i, kind in enumerate(TOKEN_TYPES)]
    marks = [
        f'<code style="{style(FAINT)};padding:1px 6px;margin-right:6px;{TYPES[kind]}">{kind}: {n:,}</code>'
        for kind, n in counts
        if n
    ]
    return f'<div style="font-size:12px;margin:4px 0">{"".join(marks)}</div>' if marks else ""


def _table(value: Vocabulary, ids: list[int]) -> str:
    names = roles(value)
    rows = [
        [
            escape(i),
            code(visible_bytes(value.pieces[i])),
            code(value.pieces[i].hex(" ")),
            escape(value.type_of(i)),
            escape(remarks(value, i, names)),
        ]
        for i in ids[:LIMIT_ROWS]
    ]
    return table(("id", "piece", "bytes", "type", ""), rows) + cut(len(rows), len(ids), "tokens")


def _retyped(value: Vocabulary, token: int) -> str:
    says = TOKEN_TYPES[value.file_types[token]]
    return f"{_named(value, token)}: the file says {says}, llama.cpp takes it for {value.type_of(token)}"


def _named(value: Vocabulary, token: int) -> str:
    return f"{visible_bytes(value.pieces[token], spaces=False)} (id {token})"
