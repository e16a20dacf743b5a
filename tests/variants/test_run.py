"""Toolsmith under several setups at once: the same figures as two by two, traps told apart, failures kept apart."""

import os
import signal

import pytest

from tests.gguf import tiny
from tests.lockstep.conftest import REQUEST
from workbench.data import requests, toolsmith
from workbench.errors import BadFile, BadRequest, Cancelled
from workbench.gguf.file_types import FILE_TYPES
from workbench.lockstep import score_both
from workbench.progress import Cancel
from workbench.quality import rung_of
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.runtime.recipe import Recipe
from workbench.setup import Setup
from workbench.variants import cache_damage, compare_variants
from workbench.views import html_of

pytestmark = pytest.mark.model
CALL = requests()["read-a-file"]


@pytest.fixture(scope="module")
def base():
    return Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1}})


@pytest.fixture(scope="module")
def low(base, tmp_path_factory):
    return base.replace(model=str(quantise(toolsmith(), tmp_path_factory.mktemp("low") / "low.gguf", "Q2_K")))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_it_is_what_two_by_two_gives(base, low):
    keys = base.replace(**{"runtime.type_k": "q8_0"})
    found = compare_variants(REQUEST, base, {"low": low, "keys": keys}, answers=False, floor=False)
    for name, setup in (("low", low), ("keys", keys)):
        pair = score_both(REQUEST, base, setup, top_k=10)
        assert found[name].pair.kl == pytest.approx(pair.kl, abs=1e-9)
        assert found[name].pair.a == pair.a
        assert found[name].pair.b == pair.b
        assert found[name].pair.changes == pair.changes
    assert found["keys"].cache_bytes < found.reference.cache_bytes
    assert found["low"].weights.recipe.kind == "Q2_K"
    assert found["low"].weights.words == "21 Q2_K, 15 Q3_K, 1 Q6_K"


def test_the_reference_answers_and_damage_in_its_call_is_told_apart(base, low):
    found = compare_variants(CALL, base, {"the same": base, "low": low})
    assert found.reference.answer.startswith('<tool_call>\n{"name": "read_file"')
    assert b"".join(found.tokens.pieces[found.n_prompt :]).endswith(b"</tool_call><|end|>")
    assert found["the same"].pair.kl.max() == 0
    assert found.parts_at(found["the same"]) is None
    assert found.parts_at(found["low"]) is not None
    assert found.count(found["low"]).in_calls_and_code > 0
    assert set(found.kinds[found.n_prompt :]) == {"tool call", "frame"}
    assert found.floor is not None
    assert found["low"].pair.beyond_floor
    assert not found["the same"].pair.beyond_floor


def test_every_side_reads_the_whole_prompt_for_its_answer(base):
    """A part of it in the cache changes the logits by the noise of a batch's shape, and so a near tie."""
    with Host(base) as one, Host(base) as other:
        for _ in range(2):
            found = compare_variants(CALL, base, {"the same": base}, floor=False, hosts=[one, other])
            assert found["the same"].answer == found.reference.answer
            assert other.evaluated == len(found.tokens) - 1  # all but the token that ended it


def test_what_cannot_run_costs_the_others_nothing(base, low, tmp_path):
    (tmp_path / "cut.gguf").write_bytes(toolsmith().read_bytes()[:100_000])
    others = {
        "missing": base.replace(model=str(tmp_path / "no.gguf")),
        "cut": base.replace(model=str(tmp_path / "cut.gguf")),
        "stranger": Setup(model=str(tiny.model_file(tmp_path / "tiny.gguf"))),
        "refused": base.replace(**{"runtime.type_v": "q4_0", "runtime.flash_attn": False}),
        "low": low,
    }
    found = compare_variants(REQUEST, base, others, answers=False, floor=False)
    words = {variant.name: variant.trouble for variant in found.others}
    assert "does not exist" in words["missing"]
    assert "cut.gguf" in words["cut"]
    assert "its vocabulary has 267 tokens and the reference's 1,024" in words["stranger"]
    assert "flash attention alone" in words["refused"]
    assert words["low"] == ""
    assert found["low"].pair.mean_kl > 0.1
    with pytest.raises(BadFile, match="does not exist"):
        compare_variants(REQUEST, others["missing"], {"base": base})
    with pytest.raises(BadRequest, match="no variant was given"):
        compare_variants(REQUEST, base, [])
    with pytest.raises(BadRequest, match="names no model"):
        compare_variants(REQUEST, base, [Setup()])


def test_a_process_that_dies_is_the_end_of_its_variant_alone(base, low):
    with Host(base) as first, Host(low) as second, Host(base) as third:
        second.load()

        def kill(what, done, total):
            if second.pid:
                os.kill(second.pid, signal.SIGKILL)

        others = {"low": low, "again": base}
        hosts = [first, second, third]
        found = compare_variants(REQUEST, base, others, answers=False, floor=False, hosts=hosts, progress=kill)
        error = found["low"].error.value()
        assert error["code"] == "host-died"
        assert error["signal"] == "SIGKILL"
        assert "The last lines of low" in html_of(found)
        assert found["again"].pair.kl.max() == 0
        whole = compare_variants(REQUEST, base, others, answers=False, floor=False, hosts=hosts)
        assert whole["low"].error is None


def test_ids_alone_will_do_and_a_cancel_stops_all(base, low):
    with Host(base) as host:
        ids = host.tokenize("what is 2 plus 2").ids
    found = compare_variants(ids, base, [low], floor=False)
    assert found.others[0].name == "low.gguf"
    assert found.tokens.ids[: len(ids)].tolist() == ids.tolist()
    assert found.tokens.types[0] in ("control", "normal")
    stopped = Cancel()
    stopped.set()
    with pytest.raises(Cancelled):
        compare_variants(ids, base, [low], cancel=stopped)


def test_variants_without_names_have_names_of_their_own(base, low):
    keys = base.replace(**{"runtime.type_k": "q8_0"})
    found = compare_variants([1, 2, 3], base, [low, keys, keys, base], answers=False, floor=False)
    names = [variant.name for variant in found.others]
    assert names == ["low.gguf", "type_k q8_0 (1)", "type_k q8_0 (2)", "the same setup"]


def test_keys_against_values_with_flash_attention_and_without(base):
    found = cache_damage(CALL, base, ["q4_0"])
    kl = {variant.name: variant.pair.mean_kl for variant in found.others if variant.pair is not None}
    assert kl["K q4_0, flash on"] > kl["V q4_0, flash on"] > 0.01
    assert kl["flash off"] < 0.001
    assert "flash attention alone" in found["V q4_0, flash off"].trouble
    assert "tools" in found.kinds
    assert all(len(block.mean_kl) == len(found.others) for block in found.blocks(4))


def test_a_circular_reference_is_named_where_the_weights_differ(base, low, tmp_path):
    again = str(quantise(low.model, tmp_path / "again-f16.gguf", Recipe("F16", requantise=True)))
    circular = base.replace(model=again)
    options = {"answers": False, "floor": False}
    assert "the comparison is circular" in compare_variants([1, 2, 3], circular, [low], **options).notes[0]
    keys = circular.replace(**{"runtime.type_k": "q8_0"})
    assert compare_variants([1, 2, 3], circular, [keys], **options).notes == ()


def test_file_types_are_named_as_llama_cpp_names_them(low):
    import gguf

    theirs = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType}
    assert {number: theirs[number] for number in FILE_TYPES} == FILE_TYPES
    assert rung_of(low.model).recipe.kind == "Q2_K"
