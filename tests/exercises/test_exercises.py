"""The checks of the notebooks' exercises: None, wrong, odd and right answers; each is told in words, none raises."""

from __future__ import annotations

import pytest

from workbench import exercises
from workbench.data import templates

BROKEN = "broken/no-end-of-turn"
PRE = "metadata.tokenizer.ggml.pre"

# Check -> (answer, right, what its words say).
SMALL = [
    (exercises.keeps_the_tools, None, False, "still None"),
    (exercises.keeps_the_tools, 7, False, "is no format"),
    (exercises.keeps_the_tools, "gemma", False, "gemma"),
    (exercises.keeps_the_tools, "chatml", True, "are in the prompt"),
    (exercises.ends_its_turns, None, False, "is no text"),
    (exercises.ends_its_turns, "{{", False, "the template fails"),
    (exercises.ends_its_turns, templates()[BROKEN].read_text("utf-8"), False, "and should"),
    (exercises.ends_its_turns, templates()["chatml"].read_text("utf-8"), True, "every turn has its end"),
]
LOADS = [
    (exercises.names_the_injection, None, False, "no path yet"),
    (exercises.names_the_injection, ["messages[3].content"], False, "no path yet"),
    (exercises.names_the_injection, "messages[4].content", False, "nothing of messages"),
    (exercises.names_the_injection, "messages[3].content", True, "<|end|>, <|turn|>"),
    (exercises.mends_the_tokenizer, None, False, "no change yet"),
    (exercises.mends_the_tokenizer, {}, False, "no change yet"),
    (exercises.mends_the_tokenizer, {1: 2}, False, "no change yet"),
    (exercises.mends_the_tokenizer, {"nope": 1}, False, "accepted are"),
    (exercises.mends_the_tokenizer, {PRE: object()}, False, "not JSON"),
    (exercises.mends_the_tokenizer, {PRE: [1]}, False, "does not work"),
    (exercises.mends_the_tokenizer, {PRE: "default"}, False, "texts still differ"),
    (exercises.mends_the_tokenizer, {PRE: "llama-bpe"}, True, "all 100 texts"),
    (exercises.is_forged, None, False, "no text yet"),
    (exercises.is_forged, "\ud800", False, "is no special token"),
    (exercises.is_forged, "<|end|>", False, "is a control token"),
    (exercises.is_forged, "<tools>", True, "is user-defined"),
    (exercises.explains_the_gap, None, False, "none of the settings"),
    (exercises.explains_the_gap, ["flash_attn"], False, "none of the settings"),
    (exercises.explains_the_gap, "n_batch", False, "nats is left"),
    (exercises.explains_the_gap, "flash_attn", True, "not one number differs"),
    (exercises.is_more_than_noise, None, False, "none of n_ubatch"),
    (exercises.is_more_than_noise, "n_ubatch", False, "and the floor is"),
    (exercises.is_more_than_noise, "type_k", True, "eight bits a key"),
    (exercises.does_the_damage, None, False, "is no group"),
    (exercises.does_the_damage, "ffn_gate", False, "and another group more"),
    (exercises.does_the_damage, "attn_v", True, "attn_v restores 2"),
    (exercises.halves_the_cache, None, False, "no pair of types"),
    (exercises.halves_the_cache, {"type_k": "q8_0"}, False, "no pair of types"),
    (exercises.halves_the_cache, {"type_k": ["f16"], "type_v": "f16"}, False, "no pair of types"),
    (exercises.halves_the_cache, {"type_k": "f16", "type_v": "q8_0"}, False, "77 % of the bytes"),
    (exercises.halves_the_cache, {"type_k": "q8_0", "type_v": "q4_0"}, False, "first place flips at"),
    (exercises.halves_the_cache, {"type_k": "q8_0", "type_v": "q8_0"}, True, "53 % of the bytes"),
]
DEMO = [
    (exercises.took_it_away, None, False, "no sampler of this chain"),
    (exercises.took_it_away, "min-p", False, "it was not min-p"),
    (exercises.took_it_away, "top-k", False, "top-k 12, top-p 1"),
    (exercises.took_it_away, "top-p", True, "no choice any more"),
    (exercises.keeps_json_in_place, None, False, "none of 1.0"),
    (exercises.keeps_json_in_place, True, False, "none of 1.0"),
    (exercises.keeps_json_in_place, 1.01, False, "none of 1.0"),
    (exercises.keeps_json_in_place, 1.1, False, "loses first place at "),
    (exercises.keeps_json_in_place, 1.0, True, "1.05 already"),
    (exercises.settles_at, None, False, "is no stage"),
    (exercises.settles_at, 23, False, "is no stage"),
    (exercises.settles_at, "layer 3", False, "another token comes first"),
    (exercises.settles_at, "layer 29", False, "it stayed before"),
    (exercises.settles_at, "layer 23", True, "from layer 23 on"),
    (exercises.fills_the_room, None, False, "no number of layers"),
    (exercises.fills_the_room, True, False, "no number of layers"),
    (exercises.fills_the_room, 14, False, "and 15 do, too"),
    (exercises.fills_the_room, 16, False, "more than 60 MiB"),
    (exercises.fills_the_room, 15, True, "no layer at all"),
    (exercises.really_holds, None, False, "no whole number"),
    (exercises.really_holds, True, False, "no whole number"),
    (exercises.really_holds, 166, False, "166 are Q5_0"),
    (exercises.really_holds, 7, False, "no type is in 7"),
    (exercises.really_holds, 16, True, "166 Q5_0, 16 Q4_K"),
]


def check(asked, answer, right, words):
    told = asked(answer)
    assert told.right is right
    assert words in told.words
    assert repr(told).startswith("Right: " if right else "Not yet: ")


@pytest.mark.parametrize(("asked", "answer", "right", "words"), SMALL)
def test_a_template_is_rendered(asked, answer, right, words):
    check(asked, answer, right, words)


@pytest.mark.model
@pytest.mark.parametrize(("asked", "answer", "right", "words"), LOADS)
def test_a_tokenizer_is_asked(asked, answer, right, words):
    check(asked, answer, right, words)


@pytest.mark.model
@pytest.mark.parametrize(("asked", "answer", "right", "words"), DEMO)
def test_the_demo_model_samples(asked, answer, right, words, demo_model):
    check(asked, answer, right, words)


def test_a_penalty_is_too_small_where_the_next_one_takes_nothing_away(monkeypatch):
    monkeypatch.setattr("workbench.exercises.sampling._lost", lambda penalty: 3 if penalty > 1.1 else 0)
    check(exercises.keeps_json_in_place, 1.05, False, "1.1 does not either")
    check(exercises.keeps_json_in_place, 1.1, True, "1.2 already")
    check(exercises.keeps_json_in_place, 1.2, False, "loses first place at 3")
