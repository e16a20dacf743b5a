"""The runtime's controls as text, and what that means: a setup, or what is wrong by control."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import data
from workbench.errors import BadRequest, CannotRun
from workbench.setup import RUNTIME_DEFAULTS, Runtime, Setup
from workbench.widgets import knobs as knobs_module
from workbench.widgets.knobs import GROUPS, KNOBS, RPC, Knobs
from workbench.widgets.runtime_facts import foreseen, groups, side_facts

pytestmark = pytest.mark.model

BASE = Setup(model=str(data.toolsmith()))


def changed(**changes):
    return Knobs(BASE).changed(changes).read()


def test_every_runtime_setting_has_a_control():
    assert {f.name for f in dataclasses.fields(Runtime)} == KNOBS.keys() - {"model", RPC}


def test_what_is_shown_means_the_setup_that_it_is_shown_for():
    setup = BASE.replace(
        **{"runtime.tensor_split": [1, 2], "runtime.flash_attn": False, "runtime.devices": ["rpc:local", "CPU"]},
        **{"runtime.rope_scaling": "yarn", "runtime.yarn_orig_ctx": 512, "runtime.n_gpu_layers": -1},
    )
    values = Knobs(setup).values()
    assert values[RPC] is True
    assert Knobs(BASE).changed({name: value for name, value in values.items() if name != RPC}).read() == (setup, {})


def test_what_applies_anyway_stays_unset():
    assert changed(n_batch="512", flash_attn="auto", use_mmap=True, n_ctx="", devices=" ", tensor_split="") == (
        BASE,
        {},
    )


def test_a_script_may_give_the_setup_s_own_values():
    given = {"flash_attn": True, "tensor_split": [1, 2], "devices": ("rpc:local", "rpc:local"), "n_ctx": 512}
    setup, errors = changed(**given, model=data.toolsmith(), use_mmap=False)
    assert errors == {}
    runtime = setup.runtime
    assert (runtime.flash_attn, runtime.tensor_split, runtime.n_ctx, runtime.use_mmap) == (True, (1, 2), 512, False)
    assert runtime.devices == ("rpc:local", "rpc:local")
    again = Knobs(BASE).changed(given | {"use_mmap": False}).changed(dict.fromkeys([*given, "use_mmap", "type_k"]))
    assert again.read() == (BASE, {})
    for name in ("use_mmap", RPC):
        wrong = Knobs(BASE).changed({name: "no"})
        assert wrong.read()[1][name].endswith(" is 'no'; accepted is true or false")
        assert wrong.changed({name: name != RPC}).read() == (BASE, {})


def test_the_switch_adds_and_takes_away_the_server_on_loopback():
    on = Knobs(BASE).changed({RPC: True})
    assert on.read()[0].runtime.devices == ("rpc:local",)
    assert on.changed({RPC: False}).read()[0] == BASE
    beside = on.changed({"devices": "CPU, 10.0.0.7:50052"}).changed({RPC: True})
    assert beside.read()[0].runtime.devices == ("CPU", "10.0.0.7:50052", "rpc:local")
    assert beside.changed({"devices": "CPU"}).values()[RPC] is False


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"n_ctx": "many"}, "n_ctx", "accepted is a whole number"),
        ({"n_ctx": "0"}, "n_ctx", "accepted is a whole number from 1"),
        ({"rope_freq_base": "nan"}, "rope_freq_base", "accepted is a number"),
        ({"tensor_split": "1, x"}, "tensor_split", "accepted is a number"),
        ({"tensor_split": "0, 0"}, "tensor_split", "not all 0"),
        ({"type_k": "q9"}, "type_k", '"q8_0"'),
        ({"model": ""}, "model", "pick one or type its path"),
        ({"model": "/nowhere.gguf"}, "model", "/nowhere.gguf"),
        ({"type_v": "q4_0", "flash_attn": "off"}, "type_v", "set runtime.flash_attn to true"),
    ],
)
def test_what_is_wrong_stands_at_its_control_and_stays_there(changes, where, words):
    knobs = Knobs(BASE).changed(changes)
    setup, errors = knobs.read()
    assert setup is None
    assert words in errors[where]
    assert knobs.values()[where] == changes[where]


def test_a_build_without_rpc_says_why_it_has_no_device_on_loopback(monkeypatch):
    def missing(_name):
        raise CannotRun("no library ggml-rpc")

    monkeypatch.setattr(knobs_module, "shared_library", missing)
    knobs_module.missing_rpc.cache_clear()
    try:
        assert "CMAKE_ARGS" in changed(**{RPC: True})[1][RPC]
        switch = next(knob for group in groups() for knob in group["knobs"] if knob["name"] == RPC)
        assert "built without RPC" in switch["absent"]
    finally:
        monkeypatch.undo()
        knobs_module.missing_rpc.cache_clear()
    assert changed(**{RPC: True})[1] == {}


def test_a_control_that_there_is_not_is_refused():
    with pytest.raises(BadRequest, match="the controls have no nope"):
        Knobs(BASE).changed({"nope": 1})


@given(st.dictionaries(st.sampled_from(sorted(KNOBS)), st.one_of(st.text(max_size=12), st.booleans(), st.integers())))
def test_nothing_that_is_typed_raises(changes):
    knobs = Knobs(BASE).changed(changes)
    setup, errors = knobs.read()
    assert (setup is None) == bool(errors)
    side_facts(knobs, errors, None, None, ())


def test_each_control_says_what_a_change_costs_in_this_setup():
    plain, on_rpc = (side_facts(Knobs(BASE).changed(c), {}, None, None, ())["costs"] for c in ({}, {RPC: True}))
    assert (plain["n_threads"], on_rpc["n_threads"]) == ("nothing", "loading anew")
    assert (plain["type_k"], plain["n_gpu_layers"]) == ("a new context", "loading anew")
    assert sum(len(group["knobs"]) for group in groups()) == sum(len(knobs) for _, knobs in GROUPS)
    assert foreseen("no <memory>")["refused"] == "no <memory>"
    assert RUNTIME_DEFAULTS.n_batch == 512
