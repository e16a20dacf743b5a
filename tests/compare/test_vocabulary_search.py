"""Searches in a vocabulary: each finds what going through all tokens finds, and one token is explained."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.vocabulary_search import GROUPS, Lookup
from workbench.errors import BadRequest
from workbench.tokenizers.entry import entry
from workbench.tokenizers.merges import Merge, Ranks
from workbench.tokenizers.vocabulary import Vocabulary
from workbench.views import html_of

LETTERS = st.lists(st.lists(st.sampled_from([b"a", b"A", b"b", b"\xc3\xa4", b"\xff", b" "]), max_size=4), max_size=12)


def made(*texts: bytes, types=(), ends=(), named=(), ranks=None) -> Vocabulary:
    """A vocabulary whose pieces are its texts, all normal unless `types` says otherwise."""
    kinds = np.array([*types, *[0] * (len(texts) - len(types))], np.uint8)
    is_end = np.isin(np.arange(len(texts)), ends)
    return Vocabulary("v", "gpt2", None, texts, texts, kinds, kinds, is_end, named, np.arange(len(texts)), ranks)


@given(LETTERS, st.sampled_from([b"a", b"ab", b"aa", b"\xff", b"\xa4", b" a", b"b a"]))
def test_bytes_are_found_where_they_stand_whole_in_one_token(parts, wanted) -> None:
    texts = [b"".join(part) for part in parts]
    found = Lookup(made(*texts)).find(f"bytes:{wanted.hex()}")
    assert found.ids.tolist() == [i for i, text in enumerate(texts) if wanted in text]


@given(LETTERS, st.sampled_from(["a", "AB", "ä", " a", "id:1"]))
def test_text_is_found_in_both_cases(parts, wanted) -> None:
    texts = [b"".join(part) for part in parts]
    known = made(*texts)
    assert Lookup(known).find(f"text:{wanted}") == known.search(wanted)


def test_groups_and_queries_together() -> None:
    texts = (b"<|end|>", b"<|END|>", b"<|a|>", b"word", b"")
    look = Lookup(made(*texts, types=(2, 0, 3), ends=(0,), named=(("eos", 0), ("pad", 9))))
    assert list(look.counts) == list(GROUPS)
    assert (look.counts["all"], look.counts["control"], look.counts["named"]) == (5, 1, 1)
    assert look.find(group="looks special").ids.tolist() == [1, 2]
    assert look.find("type:control-like").ids.tolist() == [1]
    assert look.find("end", "control").ids.tolist() == [0]
    assert look.find("id:3").ids.tolist() == [3]
    assert look.find("id:99").ids.tolist() == []
    assert look.find("bytes:").ids.tolist() == [0, 1, 2, 3, 4]
    assert look.find("", "ends an answer").ids.tolist() == [0]


@pytest.mark.parametrize("query", ["id:x", "bytes:zz", "type:red"])
def test_a_query_that_cannot_be_read_is_told(query) -> None:
    with pytest.raises(BadRequest):
        Lookup(made(b"a")).find(query)
    with pytest.raises(BadRequest, match="accepted are all"):
        Lookup(made(b"a")).find(group="odd")


def test_one_token_explained() -> None:
    ranks = Ranks({"a": 0, "b": 1, "ab": 2}, {"a b": 0}, ())
    known = made(b"a", b"b", b"ab", b"<x>", types=(0, 0, 0, 2), ends=(3,), named=(("eos", 3),), ranks=ranks)
    found = entry(known, 2)
    assert found.derivation is not None
    assert found.derivation.merges == (Merge(0, "a", "b", 2),)
    assert found.to_frame()["made"].tolist() == ["ab"]
    assert repr(found) == "VocabularyEntry(2, 'ab', normal, 1 merges)"
    end = entry(known, 3)
    assert (end.named, end.ends) == (("eos",), True)
    assert "&lt;x&gt;" in html_of(end)
    assert "<x>" not in html_of(end)
    json.dumps(end.to_dict())
    with pytest.raises(BadRequest, match="ids 0 to 3"):
        entry(known, 4)


def test_what_was_worked_out_of_all_tokens_is_kept() -> None:
    known = made(b"<|end|>", b"<|END|>", types=(2,))
    assert known.lookalikes
    assert known.only([0]).__dict__["lookalikes"] is known.lookalikes
