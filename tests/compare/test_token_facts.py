"""What is known of each token, how it stands to a second sequence, and where a query finds it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.widgets import examples
from tests.widgets.mount_strip import WRONG, many, shown, tokens_of
from workbench.compare.token_differences import DIFFERENCES, Differences, blocks_of_ids, of_blocks
from workbench.compare.token_facts import TOKEN_ORIGINS, TokenFacts
from workbench.compare.token_search import find
from workbench.compare.tokens import align_tokens
from workbench.errors import BadRequest
from workbench.stages import Rendered, Span, Tokens
from workbench.tokenizers.lookalikes import looks_like_control


def test_scores_stand_at_the_token_they_are_about():
    tokens, scores = many(6)
    facts = TokenFacts(tokens, scores)
    assert np.isnan(facts.logprob[0])
    assert facts.rank[0] == 0
    assert facts.logprob[1:].tolist() == scores.logprob[:-1].tolist()
    assert facts.rank[1:].tolist() == scores.rank[:-1].tolist()
    assert facts.entropy[1:].tolist() == scores.entropy[:-1].tolist()


def test_origins_name_the_speaker_and_what_has_several():
    text = "<s>You are.Hi!Yes.{}\n"
    parts = [(3, "template", None), (8, "message", "messages[0].content"), (3, "message", "messages[1].content")]
    parts += [(4, "message", "messages[2].content"), (2, "tool", "tools[0]"), (1, "default", "extra")]
    spans, at = [], 0
    for size, origin, path in parts:
        spans.append(Span(at, at + size, origin, path))
        at += size
    rendered = Rendered("transformers", "0", text, spans=tuple(spans))
    pieces = [b"<bos>", b"<s>", b"You", b" are.", b"Hi!Y", b"es.", b"{}", b"\n"]
    places = np.array([(0, 0), (0, 3), (3, 6), (6, 11), (11, 15), (15, 18), (18, 20), (20, 21)])
    tokens = Tokens(np.arange(8), tuple(pieces), ("normal",) * 8, places, places, ((0, "bos: flag"),))
    facts = TokenFacts(tokens, None, rendered, ("developer", "user", "assistant"))
    found = [TOKEN_ORIGINS[k] for k in facts.origin]
    assert found == ["added", "template", "system", "system", "mixed", "assistant", "tool", "default"]
    assert facts.path(4) == "messages[1].content + messages[2].content"
    beside = examples.stages()
    assert TokenFacts(beside["tokens"], None, beside["rendered"]).path(7) == "messages[0].content + template"
    without = TokenFacts(tokens, None, rendered)
    assert TOKEN_ORIGINS[without.origin[2]] == "message"
    assert [TOKEN_ORIGINS[k] for k in TokenFacts(tokens).origin] == ["added"] + ["unknown"] * 7


def test_roles_that_the_template_wrote_out_are_enough():
    stages = examples.stages()
    origins = {TOKEN_ORIGINS[k] for k in TokenFacts(stages["tokens"], None, stages["rendered"]).origin}
    assert {"user", "template", "added"} <= origins


@pytest.mark.parametrize(
    "piece", ["<|im_end|>", "<s>", "</s>", "[INST]", "[/INST]", "<｜User｜>", "<end_of_turn>", "<think>"]
)
def test_what_looks_like_a_control_token(piece):
    assert looks_like_control(piece)
    facts = TokenFacts(tokens_of([piece.encode(), piece.encode()], ["normal", "control"]))
    assert facts.control_like.tolist() == [True, False]


@pytest.mark.parametrize("piece", ["<", "<|", "[1]", "[a]", "<b>", "<div>", "x<s>", "", "[", "<|a b|>"])
def test_what_does_not(piece):
    assert not looks_like_control(piece)


# -- a second sequence ---------------------------------------------------------------------------------


def differences(ids, other) -> Differences:
    return of_blocks(blocks_of_ids(ids, other), len(ids))


@given(st.lists(st.integers(0, 4), max_size=30), st.lists(st.integers(0, 4), max_size=30))
def test_same_means_the_same_id_there_and_nothing_of_the_other_is_lost(a, b):
    kinds, others = differences(np.array(a, np.int32), np.array(b, np.int32))
    seen = set()
    for i, (kind, (start, end)) in enumerate(zip(kinds, others, strict=True)):
        name = DIFFERENCES[kind]
        assert (name == "only here") == (start == end)
        if name == "same":
            assert b[start] == a[i]
            assert end == start + 1
        if name == "more there":
            assert a[i] in b[start:end]
            assert end > start + 1
        seen |= set(range(start, end))
    assert not a or seen == set(range(len(b)))
    if a == b:
        assert not kinds.any()


def test_one_more_one_less_one_other():
    first = np.array([1, 2, 3, 4, 5, 6], np.int32)
    kinds = [DIFFERENCES[k] for k in differences(first, np.array([1, 9, 2, 7, 4, 5, 8], np.int32)).kinds]
    assert kinds == ["same", "more there", "changed", "same", "same", "changed"]
    assert DIFFERENCES[differences(first, np.append(first, 7)).kinds[-1]] == "more there"


def test_long_sequences_with_nothing_in_common_do_not_take_forever():
    ones, twos = np.full(30_000, 1, np.int32), np.full(30_000, 2, np.int32)
    assert (differences(ones, twos).kinds == DIFFERENCES.index("changed")).all()
    assert (differences(ones, twos[1:]).kinds == DIFFERENCES.index("changed")).all()


def test_blocks_of_an_alignment_tell_what_was_split_and_merged():
    a, b = tokens_of([b"<s>", b"ab", b"c", b"d", b"e"]), tokens_of([b"<s>", b"a", b"b", b"cd", b"e"])
    blocks = align_tokens(a, b, "<s>abcde", by="pieces").blocks
    found = of_blocks([block[:3] for block in blocks], len(a))
    assert [DIFFERENCES[k] for k in found.kinds] == ["same", "split", "merged", "merged", "same"]
    assert found.others.tolist() == [[0, 1], [1, 3], [3, 4], [3, 4], [4, 5]]


# -- searching -----------------------------------------------------------------------------------------


def test_a_text_goes_over_tokens_and_letters_match_both_cases():
    facts = TokenFacts(tokens_of([b"The cap", b"", b"ital", b" of PARIS", b" caf\xc3", b"\xa9", b"banana"]))
    assert find(facts, "CAPITAL").tolist() == [[0, 3]]
    assert find(facts, "paris").tolist() == [[3, 4]]
    assert find(facts, "café").tolist() == [[4, 6]]
    assert find(facts, "CAFÉ").tolist() == []
    assert find(facts, "a").tolist() == [[0, 1], [2, 3], [3, 4], [4, 5], [6, 7]]
    assert find(facts, "bytes:c3 A9").tolist() == [[4, 6]]
    assert find(facts, "id:4").tolist() == [[4, 5]]
    assert find(facts, "").tolist() == []


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=12), st.binary(min_size=1, max_size=3))
def test_found_bytes_are_there(pieces, wanted):
    facts = TokenFacts(tokens_of(pieces))
    found = find(facts, f"bytes:{wanted.hex()}")
    assert bool(len(found)) == (wanted in b"".join(pieces))
    for start, end in found:
        assert wanted in b"".join(pieces[start:end])
        assert pieces[start]
        assert pieces[end - 1]


@pytest.mark.parametrize("query", WRONG)
def test_a_query_that_cannot_be_read_says_what_is_accepted(query):
    with pytest.raises(BadRequest, match="accepted"):
        find(shown().facts, query)
