"""The chain as data: llama.cpp's order, and what is off."""

from pathlib import Path

import pytest

from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.sampling.chain import active, chain
from workbench.setup import Setup

DEFAULTS = {
    "seed": 3,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
    "max_tokens": 9,
}


def names(**changes):
    return [sampler.name for sampler in active(chain(DEFAULTS | changes, n_ctx=512))]


def test_order_is_that_of_llama_cpp():
    assert [sampler.name for sampler in chain(DEFAULTS, n_ctx=512)] == [
        "logit-bias",
        "penalties",
        "dry",
        "top-n-sigma",
        "top-k",
        "typical",
        "top-p",
        "min-p",
        "xtc",
        "temperature",
        "dist",
    ]
    assert names() == ["penalties", "top-k", "top-p", "min-p", "temperature", "dist"]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"repeat_penalty": 1.0}, "penalties"),
        ({"repeat_last_n": 0}, "penalties"),
        ({"top_k": 0}, "top-k"),
        ({"top_k": -1}, "top-k"),
        ({"top_p": 1.0}, "top-p"),
        ({"min_p": 0.0}, "min-p"),
        ({"temperature": 1.0}, "temperature"),
    ],
)
def test_what_is_off_says_why(change, missing):
    assert missing not in names(**change)
    assert next(s for s in chain(DEFAULTS | change, n_ctx=512) if s.name == missing).why_off


def test_temperature_zero_is_at_work():
    assert "temperature" in names(temperature=0.0)


def test_minus_one_looks_back_over_the_whole_context():
    penalties = chain(DEFAULTS | {"repeat_last_n": -1}, n_ctx=512)[1]
    assert penalties.parameters == {"last_n": 512, "repeat": 1.1, "frequency": 0.0, "presence": 0.0}


def test_bans_of_the_model_come_first():
    assert active(chain(DEFAULTS, n_ctx=512, suppressed=3))[0].name == "logit-bias"


def test_no_model_library_is_needed():
    source = Path(__import__("workbench.sampling.chain", fromlist=["x"]).__file__).read_text()
    assert "import llama_cpp" not in source
    assert "from llama_cpp" not in source


@pytest.mark.parametrize(
    ("change", "at_work"),
    [
        ({"presence_penalty": 0.5, "repeat_penalty": 1.0}, "penalties"),
        ({"frequency_penalty": -0.5, "repeat_penalty": 1.0}, "penalties"),
        ({"dry_multiplier": 0.8}, "dry"),
        ({"top_n_sigma": 1.0}, "top-n-sigma"),
        ({"typical_p": 0.9}, "typical"),
        ({"xtc_probability": 0.1}, "xtc"),
        ({"dynatemp_range": 0.5, "temperature": 1.0}, "temperature"),
        ({"logit_bias": {"3": False}}, "logit-bias"),
    ],
)
def test_each_setting_puts_its_sampler_to_work(change, at_work):
    assert at_work in names(**change)
    assert at_work not in names(temperature=1.0, repeat_penalty=1.0)


def test_samplers_come_in_the_order_that_is_asked_for():
    assert names(samplers=["temperature", "top_k"]) == ["temperature", "top-k", "dist"]
    assert names(samplers=["top_k", "adaptive_p"], adaptive_target=0.5) == ["top-k", "adaptive-p"]


def test_mirostat_is_the_whole_chain_with_the_temperature():
    assert names(mirostat=1) == ["temperature", "mirostat"]
    assert names(mirostat=2, logit_bias={"1": 2.0}) == ["logit-bias", "temperature", "mirostat-v2"]
    off = [sampler.why_off for sampler in chain(DEFAULTS | {"mirostat": 2}, n_ctx=512) if sampler.name == "top-k"]
    assert off == ["mirostat takes its place"]


def test_llama_cpp_pythons_mirostat_stands_behind_the_penalties():
    python = {"chain": "llama-cpp-python", "temperature": 0.8}
    assert names(**python, mirostat=2) == ["penalties", "mirostat-v2"]
    assert names(**(python | {"temperature": 0.0}), mirostat=1, repeat_penalty=1.0)[-2:] == ["temperature", "dist"]
    assert "logit-bias" not in [s.name for s in active(chain(DEFAULTS | python, n_ctx=512, suppressed=3))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samplers": ["top_q"]}, 'a list of "penalties"'),
        ({"samplers": "top_k"}, "a list of"),
        ({"logit_bias": {"a": 1}}, "TOKEN ID"),
        ({"logit_bias": {"1": True}}, "TOKEN ID"),
        ({"logit_bias": [[1, 2]]}, "TOKEN ID"),
        ({"dry_base": 0.5}, "at least 1"),
        ({"mirostat": 3}, "from 0 to 2"),
        ({"chain": "ollama"}, '"llama.cpp", "llama-cpp-python"'),
        ({"typical_p": 1.5}, "from 0 to 1"),
        ({"adaptive_target": 2}, "from -1 to 1"),
        ({"dry_sequence_breakers": [""]}, "a list of"),
    ],
)
def test_a_bad_setting_is_one_sentence(change, said):
    with pytest.raises(BadRequest, match=said):
        Setup.from_dict({"sampling": change})


def test_a_requests_fields_count_where_the_setup_says_nothing():
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "presence_penalty": 1,
        "samplers": ["top_k"],
        "xtc_threshold": 0.3,
    }
    request = Conversation.from_dict(body | {"logit_bias": {"5": -100}})
    found = Setup.from_dict({"sampling": {"xtc_threshold": 0.2}}).sampling_for(request)
    assert (found["presence_penalty"], found["samplers"], found["xtc_threshold"]) == (1.0, ["top_k"], 0.2)
    assert found["logit_bias"] == {"5": -100}
    assert request.unknown_fields == []


def test_a_setup_with_them_survives_json():
    said = {"logit_bias": {"3": False, "4": 1.5}, "samplers": ["top_k", "min_p"], "grammar": 'root ::= "a"'}
    setup = Setup.from_dict({"sampling": said})
    assert setup.to_dict()["sampling"] == said
    assert Setup.from_dict(setup.to_dict()) == setup
    assert hash(setup) == hash(Setup.from_dict(setup.to_dict()))
