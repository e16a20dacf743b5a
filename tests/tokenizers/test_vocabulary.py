"""A vocabulary as a value: what the file says, what llama.cpp makes of it, and what passes for a special token."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest

from tests.gguf import tiny
from tests.tokenizers.conftest import published
from workbench.errors import BadRequest, CannotRun
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.tokenizers.entry import entry
from workbench.tokenizers.lookalikes import Lookalike
from workbench.tokenizers.merges import Merge
from workbench.tokenizers.vocabulary import read_vocabulary
from workbench.tokens import with_token_types
from workbench.values import FrozenJSON


def test_every_token_with_its_bytes_and_types(tiny_bpe) -> None:
    found = read_vocabulary(tiny_bpe)
    assert len(found) == found.n_vocab == 267
    assert (found.kind, found.pre, found.named) == ("gpt2", "gpt-2", (("bos", 0), ("eos", 3)))
    assert (found.texts[264], found.pieces[264]) == ("Ġthe".encode(), b" the")
    assert found.pieces[5 + 255] == b"\xff"
    assert found.type_of(4) == "user_defined"
    assert found.of_type("control") == [0, 1, 2, 3]
    assert found.ends.nonzero()[0].tolist() == [3]
    row = found.search(3)._rows()[0]
    assert (row["piece"], row["type"], row["file type"], row["ends"], row["named"]) == (
        "<|im_end|>",
        "control",
        "control",
        True,
        "eos",
    )


def test_search_by_text_bytes_id_and_type(tiny_bpe) -> None:
    found = read_vocabulary(tiny_bpe)
    assert found.search("IM_").ids.tolist() == [2, 3]
    assert found.search(b"th").ids.tolist() == [261, 262, 264]
    assert found.search("Ġth").ids.tolist() == [264]
    assert found.search(b"\xff").ids.tolist() == [260]
    assert found.search(999).ids.tolist() == []
    assert found.search("im", type="control").search(b"end").ids.tolist() == [3]
    assert repr(found.search("im_")) == "Vocabulary(bpe.gguf, gpt2, 2 of 267 tokens)"
    with pytest.raises(BadRequest, match="accepted are normal, unknown, control"):
        found.search(type="special")
    assert found.search(np.int32(3)).ids.tolist() == [3]
    with pytest.raises(BadRequest, match=r"1\.5 was searched for; accepted are a text, bytes or an id"):
        found.search(1.5)
    for wrong in ("a", -1, 267, 2.0, None):
        with pytest.raises(BadRequest, match="ids 0 to 266"):
            entry(found, wrong)


def test_the_merges_that_led_to_a_token(tiny_bpe, tiny_spm) -> None:
    found = read_vocabulary(tiny_bpe, merges=True)
    assert found.derivation(262).merges == (Merge(0, "t", "h", 261), Merge(1, "th", "e", 262))
    left = found.derivation(264)
    assert (left.reached, left.parts) == (False, ("Ġ", "the"))  # "th" goes first, so that " t" never meets "he"
    assert found.derivation(0).note == "a control token is matched whole: no merges lead to it"
    spm = read_vocabulary(tiny_spm, merges=True)
    made = spm.derivation(spm.texts.index("▁hel".encode()))
    assert [(m.left, m.right) for m in made.merges] == [("▁", "h"), ("▁h", "e"), ("▁he", "l")]
    assert made.reached
    with pytest.raises(BadRequest, match="ids 0 to 266"):
        found.derivation(267)
    with pytest.raises(BadRequest, match="merges=True"):
        read_vocabulary(tiny_bpe).derivation(1)


def test_a_setup_changes_what_is_seen(tiny_bpe) -> None:
    found = read_vocabulary(with_token_types(Setup(model=str(tiny_bpe)), {"<|im_end|>": "normal", 4: "normal"}))
    assert found.type_of(4) == "normal"
    assert found.retyped == (3,)  # llama.cpp knows this end of a turn by its name
    assert (found.type_of(3), found.search(3)._rows()[0]["file type"]) == ("control", "normal")
    assert found.lookalikes == ()  # <tool> is a word like any other


@pytest.fixture
def odd(tmp_path):
    """A vocabulary with tokens that pass for its special ones."""
    words = ["<|im_start|>", "<|IM_START|>", "▁<|im_start|>", "<|other|>", "[INST]", "<b>", "<|tool|>"]
    kinds = [3, 1, 1, 1, 1, 1, 4]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *words]
    writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([2, 3, 3, *[6] * 256, *kinds])
    return tiny._write(writer, tmp_path / "odd.gguf")


def test_what_passes_for_a_special_token(odd) -> None:
    found = read_vocabulary(odd)
    assert {(item.id, item.of) for item in found.lookalikes} == {
        (260, None),
        (262, None),
        (263, None),
        (265, None),
        (260, 259),
        (261, 259),
    }
    words = {(item.id, item.of): item.why for item in found.lookalikes}
    assert words[260, 259] == "normal, the same as <|im_start|> but for case"
    assert words[261, 259] == "normal, the same as <|im_start|> but for a space or its mark"
    assert "matched in any text" in words[265, None]
    assert isinstance(found.lookalikes[0], Lookalike)


def test_a_special_token_has_no_lookalike_in_good_vocabularies(tiny_bpe) -> None:
    assert read_vocabulary(tiny_bpe).lookalikes == ()


def test_a_file_without_a_tokenizer_says_so(tiny_bpe) -> None:
    setup = Setup(model=str(tiny_bpe), metadata=FrozenJSON({"tokenizer.ggml.model": "no_vocab"}))
    with Host(setup) as host:
        for ask in (host.entries, lambda: host.pieces([5]), lambda: host.detokenize([5]), lambda: host.tokenize("a")):
            with pytest.raises(CannotRun, match="this file has no tokenizer"):
                ask()
        assert host.ends() == ()


def test_the_same_facts_in_every_form(tiny_bpe) -> None:
    found = read_vocabulary(tiny_bpe)
    facts = found.search("im_").to_dict()
    json.dumps(facts)
    assert [token["id"] for token in facts["tokens"]] == [2, 3]
    assert facts["n_vocab"] == 267
    assert found.to_frame()["piece"][264] == " the"
    assert found == read_vocabulary(tiny_bpe)
    assert found != found.search("im_")


def test_a_large_published_vocabulary() -> None:
    found = read_vocabulary(published("qwen2"))
    assert found.n_vocab == 151_936
    assert [found.texts[i] for i in found.retyped] == [b"</s>"]
    assert {found.texts[item.id] for item in found.lookalikes} == {b"<s>", b"[EOS]"} or len(found.lookalikes) == 2
    assert found.search("<|im_end|>").ids.tolist() == [151_645]
