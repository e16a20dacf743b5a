"""Documented bugs of tokenizers, each in small, with the ids that were measured: the public functions show them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.gguf import tiny
from tests.tokenizers.conftest import SHARED, published
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.tokenizers.vocabulary import read_vocabulary
from workbench.tokens import beside, effect, round_trip, with_token_types

KEY = "metadata.tokenizer.ggml."
CODE = "def f(x):\n    return x**2 + 12345 # it's 2024-11-24 and so it goes"
BUGS = SHARED.parent / "bugs.json"


def code_in(pre: str | None):
    setup = Setup(model=str(published("llama-bpe"))).replace(**{"tokenizer.add_special": False})
    return effect(CODE, setup, **{KEY + "pre": pre})


def test_pre_missing() -> None:
    found = code_in(None)
    assert (len(found.before), len(found.after)) == (27, 32)
    first = found.alignment.first_difference
    assert first.kind == "split"
    assert found.before.pieces[slice(*first.a)] == (b"(x",)
    assert found.after.pieces[slice(*first.b)] == (b"(", b"x")
    assert b"):\n" in found.before.pieces


@pytest.mark.parametrize(("pre", "n"), [("qwen2", 34), ("smaug-bpe", 27)])
def test_pre_wrong(pre, n) -> None:
    found = code_in(pre)
    assert len(found.after) == n
    assert found.alignment.same_ids == (pre == "smaug-bpe")  # harmless on this text
    if pre == "qwen2":  # digits one by one, nothing else
        split = [block for block in found.alignment.blocks if block.kind != "same"]
        assert {block.kind for block in split} == {"split"}
        assert all(re.fullmatch(rb"\d", piece) for block in split for piece in found.after.pieces[slice(*block.b)])


def test_bos_is_comma() -> None:
    setup = Setup(model=str(published("qwen2"))).replace(**{KEY + "bos_token_id": None})
    found = effect("hi", setup, **{KEY + "add_bos_token": True})
    assert found.after.ids.tolist() == [11, 6023]
    assert found.after.pieces[0] == b","
    assert found.after.added == ((0, "bos: tokenizer.ggml.add_bos_token"),)
    assert [block.kind for block in found.alignment.blocks] == ["inserted", "same"]


@pytest.mark.waits
def test_control_as_user_defined() -> None:
    text = Setup(model=str(published("llama-bpe"))).replace(**{"tokenizer.parse_special": False})
    names = ("<|start_header_id|>", "<|end_header_id|>")
    found = effect("a<|start_header_id|>system<|end_header_id|>", text, types=dict.fromkeys(names, "user_defined"))
    assert not {128006, 128007} & set(found.before.ids.tolist())
    assert {128006, 128007} <= set(found.after.ids.tolist())  # special=false, and matched all the same
    assert found.alignment.counts["merged"] == 2
    printed = []
    for setup in (text, with_token_types(text, dict.fromkeys(names, "user_defined"))):
        with Host(setup) as host:
            printed.append(host.detokenize([128006], specials=False))
    assert printed == [b"", b"<|start_header_id|>"]  # as an answer's text


def byte_level(folder: Path, specials: dict[str, int], **changes: object) -> Path:
    """A tokenizer.json with the vocabulary and merges of `tiny`'s BPE, `specials` registered."""
    words = {token: i for i, token in enumerate([*tiny.SPECIALS, *tiny.byte_letters()])}
    words |= {tiny.letters(merged): len(words) + i for i, merged in enumerate(tiny.MERGED)}
    merges = [[tiny.letters(a), tiny.letters(b)] for a, b in tiny.MERGES]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": text, **flags} for text, i in specials.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": words,
            "merges": [pair for pair in merges if set(pair) <= words.keys()],
        },
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(data | changes), "utf-8")
    return path


SPECIALS = {text: i for i, text in enumerate(tiny.SPECIALS)}


def test_gguf_user_defined_unregistered(tiny_bpe, tmp_path) -> None:
    """A loader that registers only control tokens: the user-defined `<tool>` falls into pieces."""
    whole = byte_level(tmp_path, SPECIALS)
    assert beside(tiny_bpe, whole, {"call": "the <tool> er", "none": "the tin"}).agree
    loader = byte_level(tmp_path, {text: i for text, i in SPECIALS.items() if text != "<tool>"})
    found = beside(tiny_bpe, loader, {"call": "the <tool> er", "none": "the tin"})
    assert [case.name for case in found.different] == ["call"]
    block = found["call"].first_difference
    assert block.kind == "split"
    assert found["call"].a.pieces[slice(*block.a)] == (b"<tool>",)
    assert found["call"].a.types[block.a[0]] == "user_defined"


def test_hf_v5_metaspace(tmp_path) -> None:
    """Metaspace over a byte-level vocabulary: the spaces are gone, and do not come back."""
    assert round_trip("the tin", byte_level(tmp_path, SPECIALS)).exact
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    found = round_trip("the tin", byte_level(tmp_path, SPECIALS, pre_tokenizer=meta, decoder=meta))
    assert found.back == b"thetin"
    assert found.first_difference.offset == 3
    assert found.tokens.notes == ("2 of 3 tokens could not be found in the text",)


@pytest.mark.model
def test_old_gguf_ppl(toolsmith, toolsmith_json) -> None:
    """The same weights on two tokenisations of one text: old tokenizer data read like bad weights."""
    text = "<|turn|>user\nread the file notes.txt (line 12345)<|end|>\n<|turn|>assistant\n"
    good = Setup(model=str(toolsmith)).replace(**{"tokenizer.add_special": False})
    merges = read_vocabulary(toolsmith, merges=True).ranks.pairs
    old = good.replace(**{KEY + "merges": list(merges)[:40], KEY + "pre": "gpt-2"})
    assert beside(good, toolsmith_json, text).agree
    found = beside(old, toolsmith_json, text)
    assert not found.agree
    alignment = found["the text"]
    with Host(good) as host:
        ours, theirs = (host.score(side.ids).logprob[:-1].sum() for side in (alignment.b, alignment.a))
    assert ours > theirs + 10  # nats over the same bytes
    assert alignment.counts["merged"] > 3


def test_every_offline_bug_of_this_layer_has_its_test() -> None:
    if not BUGS.exists():
        pytest.skip(f"{BUGS.name} is not beside this checkout; it goes when the list is packaged")
    wanted = {bug["id"].replace("-", "_") for bug in json.loads(BUGS.read_text()) if bug["layer"] == "tokenizer"}
    assert {f"test_{name}" for name in wanted} <= set(globals())
