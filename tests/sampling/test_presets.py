"""Presets hold what the programs' sources say: those that are installed are asked, all have a place and a date."""

import ast
import importlib.util
import json
import random
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.sampling.presets import Preset, Presets, presets
from workbench.setup import Runtime, Sampling, Setup

NAMES = list(presets())
LLAMA_CPP_NAMES = {
    "temp": "temperature",
    "typ_p": "typical_p",
    "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repeat_penalty",
    "penalty_freq": "frequency_penalty",
    "penalty_present": "presence_penalty",
}


def installed(module):
    return Path(importlib.util.find_spec("llama_cpp").submodule_search_locations[0]) / module


def test_llama_servers_are_those_of_its_own_program():
    """xllamacpp is llama.cpp's server: its parameters before anybody sets one."""
    probe = (
        "import json, xllamacpp; s = xllamacpp.CommonParams().sampling;"
        "names = [n for n in dir(s) if not n.startswith('_')];"
        "plain = {n: getattr(s, n) for n in names};"
        "print(json.dumps({n: v for n, v in plain.items() if isinstance(v, int | float | str)}))"
    )
    found = json.loads(subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True).stdout)
    values = presets()["llama-server"].values.value()
    asked = 0
    for name, value in found.items():
        ours = LLAMA_CPP_NAMES.get(name, name)
        if ours in values and ours not in ("seed", "samplers"):
            assert values[ours] == pytest.approx(value), name
            asked += 1
    assert asked > 20
    assert found["seed"] == values["seed"] % 2**32
    assert found["samplers"].split(";") == values["samplers"]


def defaults_of(module, function):
    tree = ast.parse(installed(module).read_text("utf-8"))
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function)
    named = found.args.args[len(found.args.args) - len(found.args.defaults) :]
    by_name = zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True)
    pairs = [*zip(named, found.args.defaults, strict=True), *by_name]
    return {a.arg: ast.unparse(d) for a, d in pairs if d is not None}


def test_llama_cpp_pythons_are_those_of_the_installed_one():
    signature = defaults_of("llama.py", "create_chat_completion")
    preset = presets()["llama-cpp-python"]
    values = preset.values.value()
    assert defaults_of("llama.py", "__init__")["last_n_tokens_size"] == str(values.pop("repeat_last_n"))
    for name, value in values.items():
        given = signature["mirostat_mode" if name == "mirostat" else name]
        assert given == {"seed": "None", "max_tokens": "None"}.get(name, repr(value)), name
    taken = set(preset.takes) - {"mirostat", "stop"}
    assert taken <= set(signature)
    assert not (set(Sampling.__dataclass_fields__) & set(signature)) - taken


def test_llama_cpp_pythons_first_seed_is_pythons_own():
    seed = presets()["llama-cpp-python"].values.value()["seed"]
    assert random.Random(2**32 - 1).randint(0, 2**32) == seed


def test_its_servers_are_those_of_the_installed_one():
    source = installed("server/types.py").read_text("utf-8")
    values = presets()["llama-cpp-python-server"].values.value()
    for name in ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty", "mirostat_tau"):
        field = re.search(rf"^{name}_field = Field\(\s*default=([\d.]+)", source, re.MULTILINE)
        assert float(field[1]) == values[name], name
    body = source[source.index("class CreateChatCompletionRequest") : source.index("class ModelData")]
    asked = set(re.findall(r"^    (\w+):", body, re.MULTILINE))
    taken = set(presets()["llama-cpp-python-server"].takes) - {"mirostat"}
    assert taken <= asked
    assert not (set(Sampling.__dataclass_fields__) & asked) - taken


@pytest.mark.parametrize("name", NAMES)
def test_each_says_where_and_when_it_was_read(name):
    preset = presets()[name]
    assert date.fromisoformat(preset.read) <= date.today()  # noqa: DTZ011
    for link in (preset.source, *preset.more):
        assert re.fullmatch(r"https://github\.com/\S+/(blob/(v[\d.]+|[0-9a-f]{40})/\S+|(pull|issues|commit)/\S+)", link)
    known = set(preset.values.value()) | set(preset.fixed.value())
    assert not known & set(preset.unknown)


@pytest.mark.parametrize("name", NAMES)
def test_what_each_reads_are_settings_of_a_setup(name):
    preset = presets()[name]
    runtime = {f"runtime.{key}" for key in Runtime.__dataclass_fields__}
    assert set(preset.reads.value().values()) <= {*Sampling.__dataclass_fields__, *runtime, "stop", ""}
    assert preset.address
    assert set(preset.fills) <= set(preset.values.value())
    assert len({(other.program, other.address) for other in presets().items}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_applied_to_a_setup_that_keeps_its_own(name):
    preset = presets()[name]
    setup = preset.apply(Setup.from_dict({"sampling": {"temperature": 0.123}}))
    assert setup.sampling.temperature == 0.123
    said = setup.to_dict()["sampling"]
    assert {k: said[k] for k in preset.values.value() if k != "temperature" and k not in preset.fixed.value()} == {
        k: v for k, v in preset.values.value().items() if k != "temperature" and k not in preset.fixed.value()
    }
    assert {k: said[k] for k in preset.fixed.value()} == preset.fixed.value()
    assert setup.sampling_for(Conversation.of([{"role": "user", "content": "x"}]))["temperature"] == 0.123


def test_ollamas_change_is_one_setting():
    before, after = presets()["ollama-0.32.9"], presets()["ollama"]
    assert before.values.value() | {"repeat_penalty": 1.0} == after.values.value()
    assert (before.values.value()["repeat_penalty"], before.fixed) == (1.1, after.fixed)


def test_lm_studio_claims_nothing():
    preset = presets()["lm-studio"]
    assert preset.values.value() == {}
    assert "temperature" in preset.unknown
    assert any("no default" in note for note in preset.notes)


def test_they_survive_json():
    assert Presets.from_dict(json.loads(presets().to_json())) == presets()
    for name in NAMES:
        assert Preset.from_dict(json.loads(presets()[name].to_json())) == presets()[name]
    assert len(presets().to_frame()) == len(NAMES)
    assert "ollama" in repr(presets())


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(BadRequest, match=r"accepted are llama-server, .*lm-studio"):
        presets()["vllm"]
