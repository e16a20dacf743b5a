"""A tokenizer's switches as a value: what the file says, how each value reaches llama.cpp, and what it cannot take."""

from __future__ import annotations

import json

import pytest

from tests.gguf import tiny
from workbench.errors import BadFile, BadRequest
from workbench.gguf import altered
from workbench.gguf.header import read_header
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from workbench.tokenizers.switches import COPY, KEY, KNOWN, OVERRIDE, switches
from workbench.tokens import effect, effect_on, with_token_types
from workbench.views import html_of


def test_what_the_file_says_and_what_the_setup_makes_of_it(tiny_bpe) -> None:
    setup = Setup(model=str(tiny_bpe)).replace(**{KEY + "add_bos_token": True, KEY + "pre": None})
    found = switches(setup)
    bos, pre, eos = (found[KEY + name] for name in ("add_bos_token", "pre", "eos_token_id"))
    assert (bos.own, bos.value, bos.replaced, bos.way) == (False, True, True, OVERRIDE)
    assert (pre.own, pre.value, pre.replaced, pre.way) == ("gpt-2", None, True, COPY)
    assert (eos.own, eos.value, eos.replaced) == (3, 3, False)
    assert (found.vocabulary, found.copies) == ("BPE", True)
    assert not switches(tiny_bpe).copies
    assert repr(found) == f"Switches(bpe.gguf, BPE: {KEY}add_bos_token, {KEY}pre replaced)"


def test_tokens_of_another_type(tiny_bpe) -> None:
    found = switches(with_token_types(Setup(model=str(tiny_bpe)), {"<tool>": "control", 0: "user_defined"}))
    assert [tuple(item) for item in found.retyped] == [
        (0, "<|bos|>", "control", "user_defined"),
        (4, "<tool>", "user_defined", "control"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bpe", "spm", "wpm"])
def test_what_is_called_idle_changes_nothing_and_the_rest_can(kind, tmp_path) -> None:
    path = tiny.vocabulary_file(tmp_path / "v.gguf", kind)
    values = {"add_bos_token": False, "add_eos_token": True, "add_space_prefix": False, "pre": "deepseek-llm"}
    setup = Setup(model=str(path))
    if kind == "bpe":
        values["add_bos_token"] = True
    found = switches(setup)
    for name, value in values.items():
        harmless = effect("hello'there", setup, **{KEY + name: value}).harmless
        assert harmless == bool(found[KEY + name].idle), name


def test_why_no_copy_can_be_made(tiny_bpe, monkeypatch) -> None:
    assert switches(tiny_bpe).no_copy == ""
    part = altered.altered_copy(read_header(tiny_bpe), {"split.count": 2}, tensors=False)
    assert "one part of 2" in switches(part).no_copy
    monkeypatch.setattr(altered, "SPARE_BYTES", 1 << 62)
    found = switches(tiny_bpe)
    assert "free some space" in found.no_copy
    assert "free some space" in html_of(found)


def test_a_known_effect_on_another_text_is_the_same_as_a_new_one(tiny_bpe) -> None:
    setup, changes = Setup(model=str(tiny_bpe)), {KEY + "add_bos_token": True, KEY + "eot_token_id": 262}
    with Host(setup) as one, Host(setup) as other:
        known = effect("the", setup, types={"<|im_start|>": "normal"}, hosts=(one, other), **changes)
        pids = (one.pid, other.pid)
        found = effect_on("in<|im_start|>", known, (one, other))
        assert (one.pid, other.pid) == pids
    assert found == effect("in<|im_start|>", setup, types={"<|im_start|>": "normal"}, **changes)
    assert found.alignment != known.alignment


def test_the_same_facts_in_every_form(tiny_bpe) -> None:
    found = switches(Setup(model=str(tiny_bpe)).replace(**{KEY + "pre": "<x>"}))
    assert [row["name"] for row in json.loads(json.dumps(found.to_dict()))["switches"]] == [one.name for one in KNOWN]
    assert list(found.to_frame()["replaced"]).count(True) == 1
    assert "&lt;x&gt;" in html_of(found)
    assert "<x>" not in html_of(found)


def test_what_is_no_setup_with_a_model(tmp_path) -> None:
    with pytest.raises(BadRequest, match="names no model"):
        switches(Setup())
    with pytest.raises(BadFile, match="does not exist"):
        switches(tmp_path / "nothing.gguf")


@pytest.mark.slow
def test_llama_cpp_knows_every_pre_tokenizer_that_is_offered(tiny_bpe) -> None:
    setup = Setup(model=str(tiny_bpe))
    with Host(setup) as host:
        for name in PRE_TOKENIZERS:
            host.use(setup.replace(**{KEY + "pre": name}))
            assert len(host.tokenize("the")) >= 1, name
