"""The chain as data: llama.cpp's order, and what is off."""

from pathlib import Path

import pytest

from workbench.sampling.chain import active, chain

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
    assert penalties.parameters == {"last_n": 512, "repeat": 1.1}


def test_bans_of_the_model_come_first():
    assert active(chain(DEFAULTS, n_ctx=512, suppressed=3))[0].name == "logit-bias"


def test_no_model_library_is_needed():
    source = Path(__import__("workbench.sampling.chain", fromlist=["x"]).__file__).read_text()
    assert "llama_cpp" not in source
