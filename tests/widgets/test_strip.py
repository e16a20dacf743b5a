"""The token strip without a browser: what it takes, what it checks, what it saves, its static copy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.widgets import examples
from tests.widgets.mount_strip import HOSTILE, many, shown, tokens_of
from workbench.compare.token_differences import DIFFERENCES
from workbench.compare.token_facts import TokenFacts
from workbench.compare.tokens import align_tokens
from workbench.errors import BadRequest
from workbench.setup import Setup
from workbench.stages import Scores, Tokens
from workbench.trace import Trace
from workbench.views.colouring import NO_STEP, colouring
from workbench.views.strip import words
from workbench.views.tokens import LIMIT_TOKENS
from workbench.widgets.strip import strip


def test_it_takes_a_trace_and_refuses_what_does_not_fit():
    stages = examples.stages()
    conversation = stages.pop("messages")
    whole = Trace(Setup(), conversation, **stages)
    assert strip(whole).facts == shown().facts
    assert strip(whole).colours == ("probability", "rank", "entropy", "origin", "plain")
    assert strip(stages["tokens"]).colours == ("plain",)
    assert strip(stages["tokens"], other=[1, 2]).colour == "difference"
    with pytest.raises(BadRequest, match="no tokens"):
        strip(Trace(Setup(), conversation))
    with pytest.raises(BadRequest, match="the tokens are of the type str"):
        strip("a text")
    with pytest.raises(BadRequest, match="3 scores for"):
        strip(stages["tokens"], examples.scored(3))


def test_two_traces_are_held_against_each_other_by_their_texts():
    stages = examples.stages()
    conversation, tokens, rendered = stages["messages"], stages["tokens"], stages["rendered"]
    text = rendered.text
    one = Trace(Setup(), conversation, rendered, tokens)
    places = np.array([(i, i + 1) for i in range(len(text))])
    letters = Tokens(np.arange(len(text)), tuple(c.encode() for c in text), ("normal",) * len(text), places, places)
    facts = strip(one, other=Trace(Setup(), conversation, rendered, letters)).facts
    kinds = [DIFFERENCES[k] for k in facts.differences.kinds]
    assert kinds[:3] == ["only here", "split", "split"]
    assert "split: the other has u (12) s (13) e (14) r (15)" in words(facts, 2)
    with pytest.raises(BadRequest, match="of other tokens"):
        strip(letters, other=align_tokens(tokens, letters, text))


def test_selection_and_colour_are_checked():
    made = shown()
    made.selection = (2, 5)
    assert "2–4 selected" in repr(made)
    made.selection = (3, 3)
    assert made.selection == (0, 0)
    with pytest.raises(BadRequest, match="within 0 to"):
        made.selection = (2, 5000)
    with pytest.raises(BadRequest, match="accepted are probability"):
        made.colour = "red"
    made.query = "id:x"  # typed half way: no error here, but for a script that asks
    with pytest.raises(BadRequest, match="no token id"):
        _ = made.found


def test_the_saved_state_holds_no_tokens():
    tokens, scores = many(5_000)
    state = strip(tokens, scores).get_state()
    own = {name: value for name, value in state.items() if name not in ("_esm", "_css")}
    assert len(json.dumps(own)) < 2_000
    assert not any(isinstance(value, bytes | memoryview) for value in state.values())


def test_rows_are_those_on_screen():
    row = shown().facts._rows()[2]
    assert (row["piece"], row["origin"], row["path"], row["rank"]) == ("user", "user", "messages[0].role", 2)


def test_steps_hold_their_bounds():
    probability = np.array([np.nan, 1.0, 0.5, 0.49, 0.1, 0.01, 0.001, 0.0009, 0.0])
    n = len(probability)
    rank = np.array([1, 2, 3, 4, 10, 11, 100, 101, 0])
    entropy = np.array([0, 0.09, 0.1, 1, 2, 3.9, 4, 50, 0])
    with np.errstate(divide="ignore"):
        logprob = np.append(np.log(probability[1:]), np.nan)
    top = np.zeros((n, 1))
    facts = TokenFacts(tokens_of([b"x"] * n), Scores(logprob, rank, entropy, entropy, entropy, top, top))
    assert colouring(facts, "probability").steps_of.tolist() == [NO_STEP, 0, 0, 1, 1, 2, 3, 4, 4]
    assert colouring(facts, "rank").steps_of.tolist() == [NO_STEP, 0, 1, 1, 2, 2, 3, 3, 4]
    assert colouring(facts, "entropy").steps_of.tolist() == [NO_STEP, 0, 0, 1, 2, 3, 3, 4, 4]


# -- the static copy -----------------------------------------------------------------------------------


def test_the_copy_shows_the_selection_and_is_cut_with_a_count():
    tokens, scores = many(5_000)
    made = strip(tokens, scores)
    whole = made.html()
    assert f"{5_000 - LIMIT_TOKENS:,} more tokens behind" in whole
    assert len(whole) < 1_000_000
    made.selection, made.query = (4_000, 4_010), "café"
    page = made.html()
    assert "tokens 4,000–4,009, 10 tokens" in page
    assert "more tokens before" in page
    assert page.count("outline:2px solid") == 10
    assert "places: tokens" in page


def test_hostile_tokens_are_text_in_the_copy():
    page = strip(tokens_of(HOSTILE)).html()
    assert "<script" not in page
    assert "<b>x" not in page
    assert "⟨U+202E⟩" in page
    assert "\\xed\\xa0\\x80" in page
    assert "… +9,880 bytes" in page
    page.encode()
    assert len(page) < 20_000


def test_hover_words_hold_everything():
    text = words(shown(other=[1, 2]).facts, 4)
    for part in ("#4", "id 14", "normal", "bytes 72 65 20 69", "probability", "rank", "entropy", "messages[0].content"):
        assert part in text
