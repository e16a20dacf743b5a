"""Documented bugs of sampling, each in small: presets, chains and traces of the real models show it."""

import json
from pathlib import Path

import pytest

from workbench import data
from workbench.resample import compare_chains, compare_presets
from workbench.runtime.host import Host
from workbench.sampling.table import sampler_trace
from workbench.setup import Setup
from workbench.trace import trace

BANANAS = {"messages": [{"role": "user", "content": "Repeat this exactly: " + "BANANA " * 8}]}
USERS = (
    '{"users": [{"name": "Ann", "age": 31, "city": "Paris"}, {"name": "Bob", "age": 25, "city": "Rome"}, '
    '{"name": "Eve", "age": 47, "city": "Oslo"}], "total": 3, "pages": {"first": 1, "last": 1}}'
)


def on(model, **sampling):
    """A model on one thread: two of them wait for each other on a busy machine."""
    return Setup.from_dict(
        {"model": str(model), "runtime": {"n_threads": 1}, "sampling": {"max_tokens": 16} | sampling}
    )


@pytest.fixture(scope="module")
def small(demo_model):
    with Host(on(demo_model)) as host:
        yield host


def ollama_penalties_ignored(host):
    """Ollama's own sampler got no penalties: 5.0 changes nothing. BANANA eight times, penalty 1 against 5."""
    found = {
        penalty: compare_presets(
            BANANAS | {"options": {"temperature": 0, "repeat_penalty": penalty}},
            on(data.demo_model()),
            "ollama",
            "ollama-0.24",
            host=host,
        )
        for penalty in (1.0, 5.0)
    }
    assert found[5.0].b.ignored == ("options.repeat_penalty",)
    assert found[5.0].answer_b.ids == found[1.0].answer_b.ids
    assert found[5.0].answer_b.text.count("BANANA") >= 5
    assert found[5.0].answer_a.ids != found[1.0].answer_a.ids
    assert found[5.0].difference["repeat_penalty"] == (5.0, 1.0)


def temp0_discontinuity(host):
    """Temperature 0 was another chain than 1e-6, without xtc and the others: one chain gives one answer."""
    same = [
        trace(BANANAS, on(data.demo_model(), max_tokens=12, seed=7, **changes), host=host).generation
        for changes in ({"temperature": 0.0}, {"temperature": 1e-6}, {"temperature": 0.9, "top_k": 1})
    ]
    assert same[0].ids == same[1].ids == same[2].ids
    skipped = {"max_tokens": 1, "seed": 7, "xtc_probability": 1.0, "xtc_threshold": 0.05, "min_p": 0.0, "top_p": 1.0}
    for temperature in (0.0, 1e-6):
        changed = on(data.demo_model(), **skipped, temperature=temperature)
        table = sampler_trace(
            trace(BANANAS | {"messages": [{"role": "user", "content": "Hi"}]}, changed, host=host).generation
        )[0]
        assert [stage.name for stage in table.stages][-3:] == ["xtc", "temperature", "dist"]
        assert table.changed_by == "xtc"  # it is not left out at temperature 0


def ollama_repeat_penalty(host):
    """1.1 for every model: quotes and braces of JSON lose first place on the same logits."""
    found = compare_chains(USERS, on(data.demo_model()), {"repeat_penalty": 1.0}, {"repeat_penalty": 1.1}, host=host)
    lost = {item.piece.decode(): item.lost for item in found.lost}
    assert len(found.changed) >= 12
    assert sum(count for piece, count in lost.items() if set(piece) & set('"{}[],:')) >= 6
    assert any('"' in piece for piece in lost)
    assert any("}" in piece for piece in lost)
    assert all(place.b.first_a < place.a.first_a for place in found.changed)
    presets = compare_chains(USERS, on(data.demo_model()), "ollama-0.32.9", "ollama", host=host)
    assert presets.a.value() == {"repeat_penalty": 1.1}


def openai_path_zero_defaults(host):
    """The endpoint's zeros: typical_p 0 leaves one candidate, not even the likeliest; repeat_last_n 0 no penalty."""
    request = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.8, "repeat_penalty": 1.3}
    found = compare_presets(request, on(data.demo_model()), "llama-server", "llama-server-2023", host=host)
    assert found.difference["typical_p"] == (1.0, 0.0)
    assert found.difference["repeat_last_n"] == (64, 0)
    assert (found.b["typical_p"].source, found.b["temperature"].source) == ("preset", "request")
    zeros = sampler_trace(found.answer_b)
    left = {table.stages[[s.name for s in table.stages].index("typical")].n_left for table in zeros}
    assert left == {1}
    assert any(table.changed_by == "typical" for table in zeros)
    assert not any(stage.name == "penalties" for table in zeros for stage in table.stages)
    assert any(stage.name == "penalties" for table in sampler_trace(found.answer_a) for stage in table.stages)


def grammar_blowup(_host):
    """One tool more and the grammar is refused before anything is computed: it is the number of repeated rules."""

    def tools(count):
        calls = "\n".join(f'tool-{i} ::= "call{i}(" [a-z]{{0,100}} ")"' for i in range(count))
        return f"root ::= ({' | '.join(f'tool-{i}' for i in range(count))}){{0,5}}\n{calls}"

    def passes(count):
        changed = setup.replace(**{"sampling.grammar": tools(count), "sampling.max_tokens": 1})
        found = trace({"messages": [{"role": "user", "content": "Hi"}]}, changed, host=host)
        if found.stopped is not None:
            assert found.stopped.stage == "generation"
            assert "exceeds sane defaults" in found.stopped.error.value()["message"]
        return found.generation is not None

    setup = on(data.toolsmith())
    with Host(setup) as host:
        low, high = 1, 800
        assert passes(low)
        assert not passes(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if passes(middle) else (low, middle)
        assert passes(low)
        assert not passes(low + 1)
        assert len(tools(low + 1)) - len(tools(low)) < 80  # some bytes more


CASES = {
    "ollama-penalties-ignored": ollama_penalties_ignored,
    "temp0-discontinuity": temp0_discontinuity,
    "ollama-repeat-penalty": ollama_repeat_penalty,
    "openai-path-zero-defaults": openai_path_zero_defaults,
    "grammar-blowup": grammar_blowup,
}


@pytest.mark.model
@pytest.mark.parametrize("name", CASES)
def test_it_can_be_shown(name, small):
    CASES[name](small)


def test_every_documented_one_of_this_layer_is_here():
    listed = Path(__file__).parents[3] / "shared" / "data" / "bugs.json"
    if not listed.exists():
        pytest.skip("the list of documented bugs is not beside the project")
    assert {bug["id"] for bug in json.loads(listed.read_text("utf-8")) if bug["layer"] == "sampling"} <= set(CASES)
