"""What the vocabulary browser's page is told: the vocabulary, rows of what was found, one token."""

from __future__ import annotations

from typing import Any

from workbench.compare.vocabulary_search import Lookup
from workbench.tokenizers.entry import VocabularyEntry
from workbench.tokenizers.vocabulary import Vocabulary
from workbench.views.html import clipped
from workbench.views.vocabulary import alike_words, facts, remarks, roles
from workbench.widgets.payload import clean

SHOWN_HEX = 12  # bytes of a token in its row
SHOWN_MERGES = 100
NONE = -1  # where there is no token


def about(lookup: Lookup) -> dict[str, Any]:
    """`{name, about, groups}`: the groups that are not empty, with their sizes."""
    known = lookup.vocabulary
    words = f"{known.kind}, pre-tokenizer {known.pre or 'not said'}"
    groups = [[name, n] for name, n in lookup.counts.items() if n]
    return {"name": clean(known.name), "about": clean(words), "groups": groups}


def row_facts(found: Vocabulary, start: int, end: int) -> list[list[Any]]:
    """Rows [start, end) of what was found: id, piece, bytes, type, remarks; texts that are visible already."""
    names = roles(found)
    return [
        [i, one_line(found.pieces[i]), short_hex(found.pieces[i]), found.type_of(i), remarks(found, i, names)]
        for i in found.ids[start:end].tolist()
    ]


def entry_facts(value: VocabularyEntry) -> dict[str, Any]:
    """One token: texts that are visible already, and the ids that can be clicked."""
    made = value.derivation
    merges = made.merges if made else ()
    alike = [(item.of if item.id == value.id else item.id, alike_words(value, item)) for item in value.alike]
    return {
        "id": value.id,
        "piece": one_line(value.piece),
        "kind": value.type,
        "facts": [[name, clean(words)] for name, words in facts(value)],
        "alike": [[NONE if token is None else token, clean(words)] for token, words in alike],
        "merges": [
            [f"{m.rank:g}", clean(m.left), clean(m.right), NONE if m.id is None else m.id]
            for m in merges[:SHOWN_MERGES]
        ],
        "n_merges": len(merges),
        "note": made.note if made else "",
    }


def one_line(piece: bytes) -> str:
    """A piece as visible text on one line, a long one cut with a count."""
    return clipped(piece).replace("\n", "")


def short_hex(piece: bytes) -> str:
    """The first bytes of a piece, and how many there are where they are more."""
    more = f" … {len(piece):,} bytes" if len(piece) > SHOWN_HEX else ""
    return piece[:SHOWN_HEX].hex(" ") + more
