"""What a request really gets: who decides each setting, and what is dropped without a word."""

import contextlib
import json

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.sampling.effective import Effective, chain_settings, effective
from workbench.sampling.fields import APART
from workbench.sampling.presets import WORKBENCH, presets
from workbench.sampling.reads_data import LLAMA_SERVER_CHAT, OLLAMA, OWN
from workbench.setup import Setup
from workbench.views import html_of

BODY = {
    "messages": [{"role": "user", "content": "x"}],
    "temperature": 0.1,
    "repeat_penalty": 5.0,
    "top_k": 7,
    "stop": ["END"],
}


def asked(**changes):
    return Conversation.from_dict(BODY | changes)


def only(**fields):
    return Conversation.from_dict({"messages": BODY["messages"]} | fields)


def sent_to(preset, **fields):
    """The request as this address takes it: at Ollama's own address everything stands in `options`."""
    return only(options=fields) if presets()[preset].address == "/api/chat" else only(**fields)


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
    setting = effective(sent_to(preset, temperature=0.1, repeat_penalty=5.0, top_k=7), preset)[name]
    assert (setting.value, setting.dropped) == (value, dropped)


def test_the_same_value_is_not_dropped():
    assert effective(sent_to("ollama-0.24", repeat_penalty=1.0), "ollama-0.24").ignored == ()


def test_ollamas_openai_endpoint_fills_in_ones():
    found = effective(asked(temperature=None), "ollama-openai")
    assert (found["temperature"].value, found["top_p"].value) == (1.0, 1.0)
    native = effective(asked(temperature=None), "ollama")
    assert native.diff(found)["temperature"] == (0.8, 1.0)


def test_max_completion_tokens_is_llama_servers_name():
    assert effective(asked(max_completion_tokens=5), "llama-server")["max_tokens"].value == 5
    found = effective(asked(max_completion_tokens=5), "ollama-openai")
    assert found["max_tokens"].value == -1
    assert found.field("max_completion_tokens").looks_like == "max_tokens"


def test_what_no_program_says_is_the_workbenchs():
    found = effective(asked(), "lm-studio")
    assert found["min_p"][1:3] == (0.05, "workbench")


def test_it_becomes_a_setup_and_survives_json():
    for name in ("llama-server", "ollama-0.24", "lm-studio"):
        found = effective(sent_to(name, temperature=0.1, logit_bias={"3": False}, grammr="x"), name)
        assert Effective.from_dict(json.loads(found.to_json())) == found
        setup = found.setup(Setup(model="m.gguf"))
        assert setup.sampling_for(asked(temperature=2.0))["temperature"] == 0.1
        assert len(found.to_frame()) == len(list(found))
    assert "top_k is ignored here; it looks like options.top_k" in repr(effective(asked(), "ollama-0.24"))


def test_a_bad_value_is_said():
    with pytest.raises(BadRequest, match="top_k"):
        effective(asked(top_k="many"), "llama-server")
    with pytest.raises(BadRequest, match=r"options.num_ctx is \"x\"; accepted is a whole number"):
        effective(only(options={"num_ctx": "x"}), "ollama")
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


@pytest.mark.parametrize(
    ("preset", "fields", "setting", "value"),
    [
        ("llama-server", {"n_predict": 4}, "max_tokens", 4),
        ("llama-server", {"max_tokens": 1, "n_predict": 4, "max_completion_tokens": 2}, "max_tokens", 4),
        ("llama-server-completion", {"n_predict": 4}, "max_tokens", 4),
        ("llama-cpp-python-server", {"mirostat_mode": 2}, "mirostat", 2),
        ("ollama", {"options": {"num_predict": 4}}, "max_tokens", 4),
        ("ollama-openai", {"max_tokens": 4}, "max_tokens", 4),
        ("lm-studio-rest", {"max_output_tokens": 4}, "max_tokens", 4),
    ],
)
def test_a_program_reads_its_own_names_at_its_own_address(preset, fields, setting, value):
    found = effective(only(**fields), preset)
    assert found[setting][1:3] == (value, "request")
    assert any(field.verdict == "honoured" and field.setting == setting for field in found.fields)


@pytest.mark.parametrize(
    ("preset", "fields", "ignored", "like"),
    [
        ("llama-server", {"rep_pen": 1.2}, "rep_pen", "repeat_penalty"),
        ("llama-server", {"repeat_penality": 1.2}, "repeat_penality", "repeat_penalty"),
        ("llama-server", {"topK": 3}, "topK", "top_k"),
        ("llama-server", {"options": {"temperature": 1}}, "options.temperature", "temperature"),
        ("llama-server", {"extra_body": {"min_p": 0.1}}, "extra_body.min_p", "min_p"),
        ("llama-server", {"options": {"num_ctx": 512}}, "options.num_ctx", None),
        ("llama-server", {"top_q": 3}, "top_q", None),
        ("llama-server", {"tfs_z": 1.0}, "tfs_z", None),
        ("llama-server", {"min_tokens": 2}, "min_tokens", None),
        ("llama-server", {"zebra": 2}, "zebra", None),
        ("ollama", {"num_predict": 2}, "num_predict", "options.num_predict"),
        ("ollama", {"max_tokens": 2}, "max_tokens", "options.num_predict"),
        ("ollama", {"options": {"max_tokens": 2}}, "options.max_tokens", "options.num_predict"),
        ("ollama", {"options.top_k": 2}, '"options.top_k"', "options.top_k"),
        ("ollama-openai", {"min_p": 0.1}, "min_p", None),
        ("ollama-openai", {"max_completion_tokens": 2}, "max_completion_tokens", "max_tokens"),
        ("llama-cpp-python-server", {"mirostat": 2}, "mirostat", "mirostat_mode"),
        ("llama-cpp-python", {"n_predict": 2}, "n_predict", "max_tokens"),
    ],
)
def test_a_field_that_is_not_read_is_named_with_the_one_that_it_looks_like(preset, fields, ignored, like):
    found = effective(only(**fields), preset)
    assert found.ignored == (ignored,)
    assert found.field(ignored).looks_like == like
    plain = effective(only(), preset)
    assert found.sampling == plain.sampling


def test_an_address_that_is_not_documented_leaves_it_open():
    field = effective(only(min_p=0.1, temperature=0.3), "lm-studio").field("min_p")
    assert (field.verdict, effective(only(min_p=0.1), "lm-studio").ignored) == ("unknown", ())
    assert "whether it counts is not known" in field.words


def test_a_programs_other_address_is_told_where_it_parts():
    request = only(options={"temperature": 0.1, "num_ctx": 512}, top_p=0.5)
    native, openai = effective(request, "ollama"), effective(request, "ollama-openai")
    assert (native["temperature"].value, native["top_p"].value, native.runtime) == (0.1, 0.9, {"n_ctx": 512})
    assert native.setup(Setup(model="m.gguf")).runtime.n_ctx == 512
    told = native.elsewhere.value()["/v1/chat/completions"]
    assert told["settings"] == {"temperature": [0.1, 1.0], "top_p": [0.9, 0.5]}
    assert told["fields"]["options.num_ctx"] == ["honoured", "ignored"]
    assert openai.elsewhere.value()["/api/chat"]["settings"] == {"temperature": [1.0, 0.1], "top_p": [0.5, 0.9]}
    assert effective(only(temperature=0.5), "llama-server").elsewhere.value() == {}
    other = effective(only(options={"temperature": "x"}), "ollama-openai").elsewhere.value()["/api/chat"]
    assert 'options.temperature is "x"' in other["error"]


def test_a_servers_own_settings_stand_below_the_request_and_above_the_rest():
    keys = {"general.sampling.temp": 0.33, "general.sampling.top_k": 9}
    flags = {"presence_penalty": 1.5, "--temp": 0.2}
    found = effective(only(presence_penalty=0), "llama-server", model_keys=keys, server=flags)
    assert [found[name][1:3] for name in ("presence_penalty", "temperature", "top_k")] == [
        (0.0, "request"),
        (0.2, "server"),
        (9, "model file"),
    ]
    silent = effective(only(), presets()["llama-server"].started(presence_penalty=1.5))
    assert silent["presence_penalty"][1:3] == (1.5, "server")
    own = effective(only(), "llama-server", Setup.from_dict({"sampling": {"temperature": 0.9}}), server=flags)
    assert own["temperature"][1:3] == (0.9, "setup")


def test_what_an_address_fills_in_itself_no_server_setting_reaches():
    found = effective(only(), "ollama-openai", server={"temperature": 0.2, "top_k": 3})
    assert (found["temperature"].value, found["top_k"].value) == (1.0, 3)
    assert any("the server's own temperature 0.2 does not count here" in note for note in found.notes)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"top_q": 1}, "server's 'top_q' is no sampling setting; accepted are seed, temperature"),
        ({"temp": 1, "temperature": 1}, "server's temperature is given twice"),
        ({"temp": "hot"}, 'the server\'s own temperature is "hot"; accepted is a number'),
        ({"num_ctx": 1}, "server's 'num_ctx' is no sampling setting"),
    ],
)
def test_a_servers_bad_setting_is_said(server, said):
    with pytest.raises(BadRequest, match=said):
        effective(only(), "llama-server", server=server)


def test_a_value_that_the_program_answers_with_an_error_is_refused():
    found = effective(only(repeat_last_n=-1), "llama-server")
    assert (found["repeat_last_n"].value, found["repeat_last_n"].dropped) == (64, -1)
    assert found.field("repeat_last_n").words == "repeat_last_n is refused here; accepted there are 0 to 2147483647"
    assert effective(sent_to("ollama", repeat_last_n=-1), "ollama")["repeat_last_n"].value == -1


def test_the_workbench_is_a_program_too():
    setup = Setup.from_dict({"sampling": {"top_k": 3}})
    found = effective(only(top_k=7, n=2, max_tokens=3, n_predict=4, repetition_penalty=2), WORKBENCH, setup)
    assert {field.path: field.words for field in found.fields if field.verdict != "honoured"} == {
        "top_k": "top_k is ignored here; the setup's sampling.top_k goes before it",
        "n": "n is ignored here",
        "max_tokens": "max_tokens is ignored here; n_predict goes before it",
        "repetition_penalty": "repetition_penalty is ignored here; it looks like repeat_penalty",
    }
    assert found.sampling == setup.sampling_for(only(top_k=7, max_tokens=3, n_predict=4))


@examples(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from([*OWN, *LLAMA_SERVER_CHAT, *OLLAMA, "options"]),
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.text(max_size=2)
        | st.dictionaries(st.text(max_size=6), st.integers()),
        max_size=4,
    ),
    st.sampled_from(list(presets())),
)
def test_every_field_gets_a_verdict_or_a_sentence(fields, preset):
    fields = {name: value for name, value in fields.items() if name not in APART}
    with contextlib.suppress(BadRequest):
        found = effective(only(**fields), preset)
        assert Effective.from_dict(json.loads(found.to_json())) == found
        told = {field.path.partition(".")[0].strip('"') for field in found.fields}
        sent = {name for name, value in fields.items() if value not in (None, {}) and name != "n"}
        assert told >= {name.partition(".")[0].strip('"') for name in sent}
        assert html_of(found)
