"""The same logits sampled in two ways: along a text, for a request, and a trace's answer once more."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from workbench import data
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.progress import Cancel
from workbench.resample import compare_chains, compare_presets, redraw, request_settings
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.stages import Generation
from workbench.trace import trace

JSON = '{"name": "read_file", "arguments": {"path": "src/app.py", "other": {"path": "src/b.py", "a": "b", "c": "d"}}}'
CALL = '<tool_call>\n{"name": "read_file", "arguments": {"path": "src/app.py"}}\n</tool_call>'
REQUEST = {"messages": [{"role": "user", "content": "read src/app.py"}]}


@pytest.fixture(scope="module")
def single():
    """Toolsmith on one thread: two of them wait for each other on a busy machine."""
    settings = {"model": str(data.toolsmith()), "runtime": {"n_threads": 1}, "sampling": {"max_tokens": 12}}
    with Host(Setup.from_dict(settings)) as host:
        yield host


@pytest.mark.model
def test_equal_chains_are_the_models_own_scores(single):
    found = compare_chains(JSON, single.setup, {"samplers": []}, {"samplers": []}, host=single)
    ids = single.tokenize(JSON).ids
    scores = single.score(ids)
    assert [place.at for place in found] == list(range(1, len(ids)))
    assert [place.id for place in found] == ids[1:].tolist()
    assert [place.first_a for place in found] == scores.top_ids[:-1, 0].tolist()
    assert [place.a.here for place in found] == pytest.approx(np.exp(scores.logprob[:-1]).tolist(), abs=1e-4)
    assert found.changed == ()
    assert (found.a, found.b) == (found.b, found.a)


@pytest.mark.model
def test_a_repeat_penalty_takes_first_places_of_json(single):
    found = compare_chains(JSON, single.setup, {"repeat_penalty": 1.0}, {"repeat_penalty": 1.5}, host=single)
    assert found.a.value() == {"repeat_penalty": 1.0}
    assert found.changed
    assert all(place.b.first_a < place.a.first_a for place in found.changed)
    repeated = set(single.tokenize(JSON).ids.tolist())
    assert {place.first_a for place in found.changed} <= repeated
    assert sum(item.lost for item in found.lost) == len(found.changed)


@pytest.mark.model
def test_along_an_answer_only_its_places_are_looked_at(single):
    prompt = trace(REQUEST, single.setup, until="tokens", host=single).tokens
    answer = single.tokenize(JSON).ids.tolist()[1:]  # without BOS
    found = compare_chains(REQUEST, single.setup, {}, {"temperature": 0.7}, answer=JSON, host=single)
    assert [place.id for place in found] == answer
    assert found.places[0].at == len(prompt)
    assert len(compare_chains(REQUEST, single.setup, {}, {}, host=single)) == len(prompt) - 1


@pytest.mark.model
def test_a_penalty_hears_of_the_prompt(single):
    """What stands in a prompt that is itself not looked at loses first place, and so does the text before a place."""
    found = compare_chains(REQUEST, single.setup, {}, {"presence_penalty": 50.0}, answer=CALL, host=single)
    prompt = trace(REQUEST, single.setup, until="tokens", host=single).tokens.ids.tolist()
    written: list[int] = []
    of_the_prompt = of_the_text = 0
    for place in found:
        assert place.first_b not in {*prompt, *written}
        of_the_prompt += place.first_a in prompt and place.first_a not in written
        of_the_text += place.first_a in written and place.first_a not in prompt
        written.append(place.id)
    assert of_the_prompt
    assert of_the_text


@pytest.mark.model
def test_presets_are_sides_too(single):
    found = compare_chains(JSON, single.setup, "ollama-0.32.9", "ollama", host=single)
    assert (found.a.value(), found.b.value()) == ({"repeat_penalty": 1.1}, {"repeat_penalty": 1.0})


@pytest.mark.model
def test_two_programs_on_one_request(single):
    request = REQUEST | {"options": {"temperature": 1.5, "repeat_penalty": 5.0}}
    found = compare_presets(request, single.setup, "ollama", "ollama-0.24", host=single)
    assert (found.a["repeat_penalty"].value, found.b["repeat_penalty"].value) == (5.0, 1.0)
    assert found.b.ignored == ("options.repeat_penalty",)
    assert not found.same
    assert len(found.answer_a) <= 12  # the setup's limit stands for none
    same = compare_presets(request, single.setup, "ollama", "ollama", host=single)
    assert (same.same, same.difference) == (True, {})


@pytest.mark.model
def test_one_program_twice_is_the_same_program(single):
    """Were the prompt in the cache for the second alone, its last logits would be others by the noise of a batch."""
    unsure = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    for seed in range(12):
        messages = [{"role": "user", "content": f"read src/app.py and then read it again please {seed}"}]
        request = {"messages": messages, "seed": seed} | unsure
        assert compare_presets(request, single.setup, "llama-server", "llama-server", host=single).same


@pytest.mark.model
def test_a_random_seed_makes_no_difference_between_programs(single):
    setup = single.setup.replace(**{"sampling.seed": -1, "sampling.temperature": 2.0})
    found = compare_presets(REQUEST, setup, "llama-server", "llama-server", host=single)
    assert found.same
    assert found.a["seed"].value == found.b["seed"].value == 0


@pytest.mark.model
def test_a_preset_as_a_chain_reads_the_models_own_keys_too(single):
    setup = single.setup.replace(metadata={"general.sampling.top_k": 1})
    found = compare_chains(JSON, setup, {"top_k": 1}, "llama-server", host=single)
    assert "top_k" not in found.b.value()


@pytest.mark.model
def test_a_models_own_sampling_keys_reach_llama_servers_settings(single):
    setup = single.setup.replace(metadata={"general.sampling.temp": 0.25})
    assert request_settings(REQUEST, setup, "llama-server")["temperature"][1:3] == (0.25, "model file")
    assert request_settings(REQUEST, single.setup, "llama-server")["temperature"][1:3] == (0.8, "preset")


@pytest.mark.model
def test_a_traces_answer_is_drawn_again(single):
    setup = single.setup.replace(sampling={"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 3})
    recorded = trace(REQUEST, setup.replace(**{"sampling.max_tokens": 10}), host=single)
    assert len(recorded.generation) > 3
    assert redraw(recorded, host=single).same
    shifted = Generation.from_dict(recorded.generation.to_dict())
    other = shifted.sampling.value() | {"seed": 4}
    shifted = dataclasses.replace(shifted, sampling=type(shifted.sampling)(other))
    assert not redraw(dataclasses.replace(recorded, generation=shifted), host=single).same
    with pytest.raises(BadRequest, match="no answer"):
        redraw(dataclasses.replace(recorded, generation=None), host=single)


@pytest.mark.model
def test_an_answer_that_filled_the_context_is_drawn_again(single):
    without_ends = {str(token): False for token in range(8)}
    changes = {"runtime.n_ctx": 256, "sampling.max_tokens": -1, "sampling.logit_bias": without_ends}
    recorded = trace(REQUEST, single.setup.replace(**changes), host=single)
    assert recorded.generation.stop_reason == "context-full"
    assert len(recorded.tokens) + len(recorded.generation) == 257  # the last one was drawn and not evaluated
    assert redraw(recorded, host=single).same


@pytest.mark.model
@pytest.mark.parametrize(
    ("given", "a", "said"),
    [
        ("", {}, "before the first place"),
        (JSON, {"grammar": 'root ::= "a"'}, "has a grammar"),
        (JSON, {"top_q": 1}, "top_q"),
        (JSON, "nobody", "no preset"),
        (Path("/nowhere.json"), {}, "no file"),
        ({"messages": []}, {}, "empty"),
    ],
)
def test_what_cannot_be_compared_is_said(single, given, a, said):
    with pytest.raises(WorkbenchError, match=said):
        compare_chains(given, single.setup, a, {}, host=single)
    with pytest.raises(BadRequest, match="the answer is 5; accepted is a text, or None"):
        compare_chains(JSON, single.setup, {}, {}, answer=5, host=single)


@pytest.mark.model
def test_it_can_be_stopped_and_tells_how_far_it_is(single):
    cancel, seen = Cancel(), []
    compare_chains(JSON, single.setup, {}, {}, host=single, progress=lambda *told: seen.append(told))
    assert any(what == "sampling along the text" for what, _, _ in seen)
    cancel.set()
    with pytest.raises(Cancelled):
        compare_chains(JSON, single.setup, {}, {}, host=single, cancel=cancel)
