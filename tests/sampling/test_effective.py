"""What a request really gets: who decides each setting, and what is dropped without a word."""

import json

import pytest

from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.sampling.effective import Effective, chain_settings, effective
from workbench.setup import Setup

BODY = {
    "messages": [{"role": "user", "content": "x"}],
    "temperature": 0.1,
    "repeat_penalty": 5.0,
    "top_k": 7,
    "stop": ["END"],
}


def asked(**changes):
    return Conversation.from_dict(BODY | changes)


def test_who_decides():
    found = effective(asked(), "llama-server", Setup.from_dict({"sampling": {"top_k": 3}}))
    said = {s.name: (s.value, s.source) for s in found}
    assert said["temperature"] == (0.1, "request")
    assert said["top_k"] == (3, "setup")
    assert said["top_p"] == (0.95, "preset")
    assert said["max_tokens"] == (-1, "preset")
    assert found.ignored == ("top_k",)  # the setup's 3 stands
    assert found.sampling["stop"] == ["END"]


def test_a_models_file_goes_before_llama_servers_defaults_and_nobody_elses():
    keys = {"general.sampling.temp": 0.33, "general.sampling.top_k": 9, "general.name": "m"}
    found = effective(asked(), "llama-server", model_keys=keys)
    assert found["top_k"] == ("top_k", 7, "request", None)
    assert effective(asked(top_k=None), "llama-server", model_keys=keys)["top_k"][1:3] == (9, "model file")
    assert effective(asked(temperature=None), "ollama", model_keys=keys)["temperature"][1:3] == (0.8, "preset")


@pytest.mark.parametrize(
    ("key", "written", "name", "read"),
    [
        ("general.sampling.sequence", "temp;top-k;nobody", "samplers", ["temperature", "top_k"]),
        ("general.sampling.sequence", "TopK;adaptive_p;min-p;typical", "samplers", ["top_k", "adaptive_p", "min_p"]),
        ("general.sampling.sequence", "nobody", "samplers", []),
        ("general.sampling.sequence", "", "samplers", None),
        ("general.sampling.top_k", "40.9 or so", "top_k", 40),
        ("general.sampling.top_p", "5e-1", "top_p", 0.5),
        ("general.sampling.top_p", ".5", "top_p", 0.5),
        ("general.sampling.min_p", "many", "min_p", 0.05),
    ],
)
def test_a_models_file_is_read_as_llama_server_reads_it(key, written, name, read):
    plain = Conversation.from_dict({"messages": BODY["messages"]})
    default = effective(plain, "llama-server")[name].value
    found = effective(plain, "llama-server", model_keys={key: written})[name].value
    assert found == (default if read is None else read)


def test_a_grammar_that_a_program_does_not_take_is_said():
    assert "grammar" in effective(asked(grammar='root ::= "a"'), "ollama").ignored
    assert "grammar" not in effective(asked(grammar='root ::= "a"'), "llama-server").ignored


@pytest.mark.parametrize(
    ("preset", "name", "value", "dropped"),
    [
        ("ollama-0.24", "repeat_penalty", 1.0, 5.0),
        ("ollama-openai", "repeat_penalty", 1.0, 5.0),
        ("ollama-openai", "top_k", 40, 7),
        ("ollama", "repeat_penalty", 5.0, None),
        ("llama-cpp-python", "top_k", 7, None),
    ],
)
def test_what_is_dropped(preset, name, value, dropped):
    setting = effective(asked(), preset)[name]
    assert (setting.value, setting.dropped) == (value, dropped)


def test_the_same_value_is_not_dropped():
    assert effective(asked(repeat_penalty=1.0), "ollama-0.24").ignored == ()


def test_ollamas_openai_endpoint_fills_in_ones():
    found = effective(asked(temperature=None), "ollama-openai")
    assert (found["temperature"].value, found["top_p"].value) == (1.0, 1.0)
    native = effective(asked(temperature=None), "ollama")
    assert native.diff(found)["temperature"] == (0.8, 1.0)


def test_max_completion_tokens_is_llama_servers_name():
    assert effective(asked(max_completion_tokens=5), "llama-server")["max_tokens"].value == 5
    found = effective(asked(max_completion_tokens=5), "ollama-openai")
    assert found["max_tokens"].value == -1
    assert "max_completion_tokens is not read" in found.notes


def test_what_no_program_says_is_the_workbenchs():
    found = effective(asked(), "lm-studio")
    assert found["min_p"][1:3] == (0.05, "workbench")


def test_it_becomes_a_setup_and_survives_json():
    for name in ("llama-server", "ollama-0.24", "lm-studio"):
        found = effective(asked(logit_bias={"3": False}), name)
        assert Effective.from_dict(json.loads(found.to_json())) == found
        setup = found.setup(Setup(model="m.gguf"))
        assert setup.sampling_for(asked(temperature=2.0))["temperature"] == 0.1
        assert len(found.to_frame()) == len(list(found))
    assert "ignores" in repr(effective(asked(), "ollama-0.24"))


def test_a_bad_value_is_said():
    with pytest.raises(BadRequest, match="top_k"):
        effective(asked(top_k="many"), "ollama")
    for nobody in ("nobody", None, {"top_k": 1}):
        with pytest.raises(BadRequest, match="no preset"):
            effective(asked(), nobody)
    with pytest.raises(BadRequest, match="no sampling setting 'top_q'"):
        effective(asked(), "ollama")["top_q"]


def test_a_side_of_a_comparison():
    setup = Setup.from_dict({"sampling": {"min_p": 0.2}})
    assert chain_settings({"top_p": 0.5}, setup, asked())["top_p"] == 0.5
    assert chain_settings({"top_p": 0.5}, setup, asked())["min_p"] == 0.2
    with pytest.raises(BadRequest, match="accepted are settings"):
        chain_settings(3, setup, asked())
    with pytest.raises(BadRequest, match="sampling"):
        chain_settings({"top_q": 1}, setup, asked())
