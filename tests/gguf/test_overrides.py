"""Wrong overrides are refused where they are given: the key, the value, and what is accepted."""

import pytest

from tests.gguf import tiny
from workbench.engines import resolve_template
from workbench.errors import BadRequest
from workbench.gguf.header import read_header
from workbench.gguf.overrides import check_overrides
from workbench.runtime.host import Host
from workbench.setup import Setup

IDS = r"accepted is a whole number from 0 to 266 \(the vocabulary has 267 tokens\), or null"
WRONG = [
    ("tokenizer.ggml.bos_token_id", "x", IDS),
    ("tokenizer.ggml.bos_token_id", -1, IDS),
    ("tokenizer.ggml.bos_token_id", 1.0, IDS),
    ("tokenizer.ggml.bos_token_id", True, IDS),
    ("tokenizer.ggml.bos_token_id", [1], IDS),
    ("tokenizer.ggml.bos_token_id", 267, IDS),
    ("tokenizer.ggml.fim_pre_token_id", 9_999_999, IDS),  # a key that the file does not have
    ("tokenizer.ggml.add_bos_token", "true", "accepted is true or false, or null"),
    ("tokenizer.ggml.add_eos_token", 1, "accepted is true or false, or null"),
    ("tokenizer.ggml.pre", 5, "accepted is a text, or null"),
    ("tokenizer.chat_template", 5, "accepted is a text, or null"),
    ("tokenizer.chat_template", ["a"], "accepted is a text, or null"),
    ("tokenizer.chat_template.tool_use", False, "accepted is a text, or null"),
    ("tokenizer.ggml.merges", "a b", "a list, each item a text"),
    ("tokenizer.ggml.tokens", ["a", 1], "a list, each item a text"),
    ("general.name", 1, "accepted is a text"),
    ("llama.rope.freq_base", "big", "accepted is a number"),
    ("llama.context_length", -5, "whole number"),
    ("llama.block_count", 1.5, r"from 0 to 4294967295 \(the file's own type is UINT32\)"),
    ("llama.block_count", 2**32, "from 0 to 4294967295"),
    ("x", [1, "a"], "a list whose items are of one type"),
    ("x", [1, None], "a list whose items are of one type"),
    ("x", [-1, 2**63], "a list whose items are of one type"),
    ("tokenizer.ggml.token_type", [1, 1], "2 items and there are 267 tokens"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.model_file(tmp_path_factory.mktemp("overrides") / "tiny.gguf")


@pytest.mark.parametrize(("key", "value", "words"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_a_wrong_override_is_refused_wherever_it_is_read(model, key, value, words):
    setup = Setup.from_dict({"model": str(model), "metadata": {key: value}})
    header = read_header(model)
    for read in (
        lambda: check_overrides(header, {key: value}),
        lambda: resolve_template(setup, header),
        lambda: Host(setup).tokenize("a"),
    ):
        with pytest.raises(BadRequest, match=words) as caught:
            read()
        assert key in caught.value.given


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tokenizer.ggml.bos_token_id", 266),
        ("tokenizer.ggml.bos_token_id", None),
        ("tokenizer.ggml.add_bos_token", True),
        ("llama.rope.freq_base", 20000),
        ("llama.attention.head_count_kv", [2]),
        ("x", [1, 2.5]),
        ("x", []),
        ("x", [True]),
        ("general.file_type", 3),
        ("tokenizer.chat_template", None),
    ],
)
def test_a_good_override_is_accepted(model, key, value):
    check_overrides(read_header(model), {key: value})


def test_an_id_may_lie_in_a_vocabulary_that_is_overridden_too(model):
    tokens, bos = "tokenizer.ggml.tokens", "tokenizer.ggml.bos_token_id"
    check_overrides(None, {tokens: ["a", "b"], bos: 1})
    with pytest.raises(BadRequest, match="from 0 to 1 "):
        check_overrides(read_header(model), {tokens: ["a", "b"], bos: 2})
    template = resolve_template(
        Setup.from_dict({"model": str(model), "metadata": {tokens: ["<new>"]}}), read_header(model)
    )
    assert dict(template.special_tokens)["bos_token"] == "<new>"


def test_what_the_file_says_itself_is_accepted(tmp_path):
    path = tiny.model_file(tmp_path / "odd.gguf", odd_bos=2**32 - 1)
    check_overrides(read_header(path), {"tokenizer.ggml.bos_token_id": 2**32 - 1})


def test_without_a_file_the_types_of_known_keys_are_checked():
    check_overrides(None, {"tokenizer.ggml.bos_token_id": 7, "x": 1})
    with pytest.raises(BadRequest, match="true or false"):
        check_overrides(None, {"tokenizer.ggml.add_bos_token": "yes"})
