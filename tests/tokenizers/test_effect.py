"""Every switch of a tokenizer really reaches llama.cpp: the ids change as they must, and the file does not."""

from __future__ import annotations

import hashlib

import pytest

from tests.gguf import tiny
from workbench.compare.token_blocks import KINDS
from workbench.errors import BadRequest, CannotRun
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.setup import Setup
from workbench.tokens import effect, with_token_types

KEY = "metadata.tokenizer.ggml."
TEMPLATE = "text:{{ bos_token }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"


def kinds(found) -> dict[str, int]:
    return {kind: n for kind, n in found.alignment.counts.items() if n}


def test_add_bos_and_who_asks_for_it(tiny_bpe) -> None:
    found = effect("the", str(tiny_bpe), **{KEY + "add_bos_token": True})
    assert (found.before.ids.tolist(), found.after.ids.tolist()) == ([262], [0, 262])
    assert kinds(found) == {"same": 1, "inserted": 1}
    assert found.changes.value() == {KEY + "add_bos_token": ["the file's own", True]}
    assert not found.harmless


def test_add_eos_and_another_eos(tiny_bpe) -> None:
    found = effect("the", str(tiny_bpe), **{KEY + "add_eos_token": True})
    assert found.after.ids.tolist() == [262, 3]
    setup = Setup(model=str(tiny_bpe)).replace(**{KEY + "add_eos_token": True})
    found = effect("the", setup, **{KEY + "eos_token_id": 1})
    assert found.after.ids.tolist() == [262, 1]
    assert found.ends == ((3,), (1, 3))  # <|im_end|> ends an answer by its name


def test_another_eot_changes_no_id_and_still_does_harm(tiny_bpe) -> None:
    found = effect("the", str(tiny_bpe), **{KEY + "eot_token_id": 262})
    assert found.alignment.same_ids
    assert found.ends == ((3,), (3, 262))
    assert not found.harmless
    assert "other ids end an answer" in repr(found)


def test_another_file_with_another_end_is_not_harmless(tiny_bpe) -> None:
    other = altered_copy(read_header(tiny_bpe), {"tokenizer.ggml.eos_token_id": 1})
    found = effect("the", str(tiny_bpe), model=str(other))
    assert found.alignment.same_ids
    assert found.ends is not None
    assert found.ends[0] != found.ends[1]
    assert not found.harmless


def test_another_bos(tiny_bpe) -> None:
    setup = Setup(model=str(tiny_bpe)).replace(**{KEY + "add_bos_token": True})
    found = effect("the", setup, **{KEY + "bos_token_id": 1})
    assert found.after.ids.tolist() == [1, 262]
    assert kinds(found) == {"same": 1, "changed": 1}


def test_space_prefix(tiny_spm) -> None:
    found = effect("hello world", str(tiny_spm), **{KEY + "add_space_prefix": False})
    assert found.before.pieces[1] == b" hello"
    assert found.after.pieces[1] == b"h"
    assert kinds(found) == {"same": 2, "split": 1}


@pytest.mark.model
def test_pre_tokenizer(toolsmith) -> None:
    found = effect("it costs 1234567", str(toolsmith), **{KEY + "pre": "qwen2"})
    assert found.alignment.first_difference.kind in ("split", "lost")
    assert len(found.after) != len(found.before)
    gone = effect("def f(x):\n    return", str(toolsmith), **{KEY + "pre": None})
    assert gone.changes.value() == {KEY + "pre": ["the file's own", "removed"]}
    assert not gone.alignment.same_ids


def test_special_tokens_as_text(tiny_bpe) -> None:
    found = effect("a<|im_end|>", str(tiny_bpe), **{"tokenizer.parse_special": False})
    assert kinds(found) == {"same": 1, "split": 1}
    assert found.ends is None


@pytest.mark.model
def test_added_tokens_off(toolsmith) -> None:
    found = effect("hello", str(toolsmith), **{"tokenizer.add_special": False})
    assert kinds(found)["lost"] == 1


@pytest.mark.parametrize("which", ["<|im_start|>", 2])
def test_the_type_of_one_token(tiny_bpe, which) -> None:
    before = hashlib.sha256(tiny_bpe.read_bytes()).hexdigest()
    found = effect("<|im_start|>a", str(tiny_bpe), types={which: "normal"})
    assert found.before.types[0] == "control"
    assert kinds(found) == {"same": 1, "split": 1}
    assert found.changes.value()[f"type of {which}"] == ["control", "normal"]
    text = Setup(model=str(tiny_bpe)).replace(**{"tokenizer.parse_special": False})
    assert kinds(effect("<|im_start|>a", text, types={which: "user_defined"})) == {"same": 1, "merged": 1}
    assert hashlib.sha256(tiny_bpe.read_bytes()).hexdigest() == before


def test_llama_cpp_overrides_a_known_end_of_turn(tiny_bpe) -> None:
    found = effect("a<|im_end|>", str(tiny_bpe), types={"<|im_end|>": "normal"})
    assert found.harmless  # "control-looking token ... its type will be overridden"


def test_types_are_taken_from_the_setup_first(tiny_bpe) -> None:
    setup = with_token_types(Setup(model=str(tiny_bpe)), {"<tool>": "control"})
    twice = with_token_types(setup, {0: "unused"})
    types = twice.metadata.value()["tokenizer.ggml.token_type"]
    assert types[:6] == [5, 3, 3, 3, 3, 1]
    assert read_header(tiny_bpe).array("tokenizer.ggml.token_type")[:6] == [3, 3, 3, 3, 4, 1]


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ({"<|nope|>": "control"}, "no token '<|nope|>'"),
        ({99999: "control"}, "0 to 266"),
        ({0: "odd"}, "user_defined"),
        ({0: ["odd"]}, "user_defined"),
    ],
)
def test_no_such_token_or_type(tiny_bpe, types, words) -> None:
    with pytest.raises(BadRequest) as caught:
        effect("a", str(tiny_bpe), types=types)
    assert words in str(caught.value)


def test_types_of_too_few_tokens_are_told(tiny_bpe) -> None:
    with pytest.raises(BadRequest, match="has 3 items and there are 267 tokens"):
        effect("a", str(tiny_bpe), types={5: "control"}, **{KEY + "token_type": [1, 1, 1]})


def test_a_request_is_rendered_under_both(tmp_path) -> None:
    path = tiny.vocabulary_file(tmp_path / "v.gguf", "bpe", add_bos=True)
    setup = Setup(model=str(path)).replace(**{"template.source": TEMPLATE})
    found = effect([{"role": "user", "content": "the"}], setup, **{KEY + "bos_token_id": 1})
    assert found.alignment.text_a == "<|bos|>the<|im_end|>"
    assert found.alignment.text_b == "<|eos|>the<|im_end|>"
    assert kinds(found) == {"same": 2, "changed": 1}
    other = effect(
        [{"role": "user", "content": "the"}], setup, **{"template.source": TEMPLATE.replace("{{ bos_token }}", "")}
    )
    assert other.alignment.same_ids  # who writes BOS makes no difference
    assert not other.alignment.same_text
    assert other.harmless


def test_two_engines_write_one_request(tiny_bpe) -> None:
    source = {"template.source": "text:{{ messages[0].content }}<|im_end|>", "template.engine": "llama-cpp-python"}
    setup = Setup(model=str(tiny_bpe)).replace(**source)
    user = {"role": "user", "content": "the"}
    found = effect([user | {"content": None}, user], setup, **{"template.engine": "llama.cpp"})
    assert (found.alignment.text_a, found.alignment.text_b) == ("None<|im_end|>", "<|im_end|>")
    assert [block.kind for block in found.alignment.blocks] == ["lost", "same"]
    assert found.changes.value() == {"template.engine": ["llama-cpp-python", "llama.cpp"]}
    assert effect([user], setup, **{"template.engine": "llama.cpp"}).harmless


def test_a_template_that_raises_is_named(tiny_bpe) -> None:
    setup = Setup(model=str(tiny_bpe)).replace(**{"template.source": "text:{{ raise_exception('no') }}"})
    with pytest.raises(CannotRun, match=r"the request has no prompt: .*no"):
        effect([{"role": "user", "content": "the"}], setup, **{KEY + "bos_token_id": 1})


def test_what_llama_cpp_refuses_is_an_error_in_words(tiny_bpe) -> None:
    with pytest.raises(CannotRun, match="does not load the model with the setup's metadata"):
        effect("a", str(tiny_bpe), **{KEY + "pre": "no-such-pre"})


def test_the_same_facts_in_every_form(tiny_bpe) -> None:
    found = effect("the", str(tiny_bpe), **{KEY + "add_bos_token": True})
    facts = found.to_dict()
    assert set(facts["alignment"]["counts"]) == set(KINDS)
    assert facts["harmless"] is False
    assert list(found.to_frame()["kind"]) == ["inserted", "same"]
