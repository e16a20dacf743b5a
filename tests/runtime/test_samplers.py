"""Every sampler setting reaches llama.cpp, the ids are those of its own chain, and the numbers fit what was drawn."""

import dataclasses
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import data
from workbench.conversation import Conversation
from workbench.errors import BadRequest, CannotRun
from workbench.resample import redraw
from workbench.runtime.host import Host
from workbench.sampling.table import sampler_trace
from workbench.setup import SAMPLERS, Sampling, Setup
from workbench.stages import Generation
from workbench.trace import Trace

HELLO = Conversation.of([{"role": "user", "content": "x"}])
PROMPT = "<|turn|>user\nhow do you like the weather today<|end|>\n<|turn|>assistant\nWell, it"  # it is unsure
COUNT = 8


def sampling(**changes):
    return Setup.from_dict({"sampling": {"max_tokens": COUNT} | changes}).sampling_for(HELLO)


def random_settings(seed):
    """Settings in which any sampler may be at work; about a third of each kind are."""
    dice = random.Random(seed)

    def maybe(value, off):
        return value if dice.random() < 0.35 else off

    order = [*SAMPLERS, *(["adaptive_p"] if dice.random() < 0.15 else [])]
    return sampling(
        seed=dice.randrange(2**32 - 1),
        temperature=dice.choice([0.0, 0.8, 1.0, 2.0, 3.0, 6.0]),
        top_k=dice.choice([0, 0, 3, 10, 40, 200]),
        top_p=maybe(round(dice.uniform(0.3, 1.0), 3), 1.0),
        min_p=maybe(round(dice.uniform(0.0, 0.1), 3), 0.0),
        typical_p=maybe(round(dice.uniform(0.3, 1.0), 3), 1.0),
        top_n_sigma=maybe(round(dice.uniform(1.0, 5.0), 3), -1.0),
        repeat_penalty=maybe(round(dice.uniform(0.7, 2.0), 3), 1.0),
        repeat_last_n=dice.choice([0, 8, 64]),
        presence_penalty=maybe(round(dice.uniform(-2, 2), 3), 0.0),
        frequency_penalty=maybe(round(dice.uniform(-2, 2), 3), 0.0),
        xtc_probability=maybe(round(dice.uniform(0, 1), 3), 0.0),
        xtc_threshold=dice.choice([0.02, 0.1, 0.3, 0.6]),
        dry_multiplier=maybe(round(dice.uniform(0.1, 2.0), 3), 0.0),
        dry_base=dice.choice([1.0, 1.75, 3.0]),
        dry_allowed_length=dice.choice([0, 1, 2]),
        dry_penalty_last_n=dice.choice([0, 16, 64]),
        dry_sequence_breakers=dice.choice([["\n", ":"], ["src"], ["/", "."]]),
        dynatemp_range=maybe(round(dice.uniform(0, 1.5), 3), 0.0),
        dynatemp_exponent=dice.choice([1.0, 0.5, 2.0]),
        mirostat=dice.choice([0, 0, 0, 0, 1, 2]),
        mirostat_tau=dice.choice([1.0, 3.0, 5.0]),
        mirostat_eta=dice.choice([0.1, 0.5]),
        adaptive_target=dice.choice([-1.0, 0.2, 0.6]),
        adaptive_decay=dice.choice([0.0, 0.9]),
        min_keep=dice.choice([0, 0, 1, 3]),
        logit_bias={
            str(dice.randrange(1024)): dice.choice([False, -3, 2.5, 20]) for _ in range(dice.choice([0, 0, 2]))
        },
        samplers=dice.sample(order, dice.randrange(3, len(order) + 1)),
    )


@pytest.fixture(scope="module")
def single():
    """Toolsmith on one thread: two of them wait for each other on a busy machine."""
    with Host(Setup.from_dict({"model": str(data.toolsmith()), "runtime": {"n_threads": 1}})) as host:
        yield host


def reference(host, ids, samplings):
    job = json.dumps({"ids": ids, "count": COUNT, "samplings": samplings})
    program = Path(__file__).with_name("reference_chains.py")
    command = [sys.executable, str(program), host.setup.model]
    return json.loads(subprocess.run(command, input=job.encode(), capture_output=True, check=True).stdout)


@pytest.mark.model
def test_the_same_ids_as_llama_cpp_own_chain_on_200_random_settings(single):
    settings = [random_settings(seed) for seed in range(200)]
    ids = single.tokenize(PROMPT).ids.tolist()
    wanted = reference(single, ids, settings)
    generations = []
    for given in settings:
        single.score([0])  # the prompt is evaluated in one piece here too
        generations.append(single.generate(ids, given))
    assert [list(generation.ids) for generation in generations] == wanted
    assert len({tuple(drawn) for drawn in wanted}) > 100  # the settings do differ
    check_draws(generations)


def check_draws(generations):
    known = unknown = 0
    for step in (step for generation in generations for step in generation):
        for stage in step.stages:
            if stage.draw is None:
                continue
            number, low, high = stage.draw
            known, unknown = known + (number is not None), unknown + (number is None and stage.n_left > 1)
            if number is not None and stage.name != "xtc":
                assert low - 1e-5 <= number <= high + 1e-5
            elif number is not None and number > high:
                assert stage.n_removed == 0
        left = step.stages[0].n_left + step.stages[0].n_removed
        for stage in step.stages:
            assert (stage.n_left + stage.n_removed, sum(stage.probs) <= 1 + 1e-6) == (left, True)
            left = stage.n_left
    assert known > 400
    assert unknown == 0


@pytest.mark.model
@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_drawn_once_more_along_its_own_tokens_it_is_the_same(single, seed):
    tokens = single.tokenize(PROMPT)
    single.score([0])
    generation = single.generate(tokens.ids, random_settings(seed))
    trace = Trace(single.setup, HELLO, tokens=tokens, generation=Generation.from_dict(generation.to_dict()))
    again = redraw(trace, host=single)
    assert again.same, (again.first_difference, again.drawn)
    assert again.unknown == ()
    other = generation.sampling.value() | {
        "seed": 12345,
        "temperature": 30.0,
        "samplers": ["temperature"],
        "mirostat": 0,
    }
    changed = dataclasses.replace(generation, sampling=type(generation.sampling)(other))
    assert not redraw(Trace(single.setup, HELLO, tokens=tokens, generation=changed), host=single).same


# What each setting is changed to, with what must be at work beside it to be seen.
FLAT = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 4}
DRY = {"dry_multiplier": 1.0, "dry_allowed_length": 1}
MIRO = {"mirostat": 2, "mirostat_tau": 2.0}
ADAPTIVE = {"samplers": ["top_k", "temperature", "adaptive_p"], "adaptive_target": 0.3}
DYNAMIC = {"dynatemp_range": 1.0}
CHANGES = {
    "seed": ({}, 5),
    "temperature": ({}, 0.7),
    "top_k": ({}, 3),
    "top_p": ({}, 0.5),
    "min_p": ({}, 0.2),
    "repeat_penalty": ({}, 1.5),
    "repeat_last_n": ({"repeat_penalty": 1.5}, 2),
    "max_tokens": ({}, 2),
    "presence_penalty": ({}, 1.0),
    "frequency_penalty": ({}, 1.0),
    "typical_p": ({}, 0.3),
    "top_n_sigma": ({}, 1.0),
    "xtc_probability": ({"xtc_threshold": 0.01}, 1.0),
    "xtc_threshold": ({"xtc_probability": 1.0, "xtc_threshold": 0.5}, 0.01),
    "dry_multiplier": ({"dry_allowed_length": 1}, 1.0),
    "dry_base": (DRY, 4.0),
    "dry_allowed_length": (DRY, 3),
    "dry_penalty_last_n": (DRY, 4),
    "dry_sequence_breakers": (DRY, ["src", "/"]),
    "dynatemp_range": ({}, 1.0),
    "dynatemp_exponent": (DYNAMIC, 3.0),
    "mirostat": ({}, 2),
    "mirostat_tau": (MIRO, 6.0),
    "mirostat_eta": (MIRO, 0.9),
    "adaptive_target": (ADAPTIVE, 0.9),
    "adaptive_decay": (ADAPTIVE, 0.0),
    "min_keep": ({"top_p": 0.01}, 7),
    "logit_bias": ({}, {"6": 50.0}),
    "samplers": ({"top_k": 5, "top_p": 0.5}, ["top_p", "top_k"]),
    "chain": ({"repeat_penalty": 1.5}, "llama-cpp-python"),
    "grammar": ({}, 'root ::= "a" [0-9]+'),
}
REPEATED = "<|turn|>user\nsrc/app src/app src/app src/"


def shown(generation):
    return [(step.id, [(stage.name, stage.n_left, stage.probs) for stage in step.stages]) for step in generation]


@pytest.mark.model
@pytest.mark.parametrize("name", CHANGES)
def test_it_reaches_llama_cpp(single, name):
    beside, value = CHANGES[name]
    ids = single.tokenize(REPEATED).ids
    before = single.generate(ids, sampling(**(FLAT | beside)))
    after = single.generate(ids, sampling(**(FLAT | beside | {name: value})))
    assert shown(before) != shown(after)


def test_every_setting_is_among_them():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Sampling)}


@pytest.mark.model
def test_penalties_take_off_what_they_say(single):
    ids = single.tokenize(REPEATED).ids.tolist()
    given = sampling(**FLAT, presence_penalty=0.75, frequency_penalty=0.25) | {"repeat_last_n": 64, "max_tokens": 1}
    step = single.generate(ids, given).steps[0]
    odds = {i: math.log(a / b) for i, b, a in zip(step.watched, step.before, step.stages[0].probs, strict=True)}
    free = next(odds[i] for i in odds if i not in ids)
    seen = [i for i in odds if i in ids]
    assert seen
    for token in seen:
        assert free - odds[token] == pytest.approx(0.75 + 0.25 * ids.count(token), abs=1e-4)


@pytest.mark.model
def test_a_grammar_is_followed_and_a_refused_choice_is_drawn_again(single):
    ids = single.tokenize(PROMPT).ids
    given = sampling(**FLAT, grammar='root ::= ("x" | "y") [0-9] [0-9] [0-9]')
    generation = single.generate(ids, given)
    assert generation.text[0] in "xy"
    assert generation.text[1:].isdigit()
    assert generation.stop_reason == "end-of-generation"
    names = [step.stages[0].name for step in generation.steps]
    assert names[0] == "grammar"  # the model wants something else
    assert generation.steps[0].stages[0].n_left < 10


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ("root ::= (", "does not take sampling.grammar: expecting"),
        ('other ::= "a"', "does not contain a 'root' symbol"),
        ("root ::= root", "left recursion"),
        ("root ::= x", "Undefined rule identifier 'x'"),
        ("root ::= [a]{3000}", "exceeds sane defaults"),
        ("root\x00", "a NUL"),
    ],
)
def test_a_bad_grammar_is_said_in_a_sentence(tiny_host, grammar, said):
    with pytest.raises(BadRequest, match=said):
        tiny_host.generate([10], sampling(grammar=grammar))
    assert tiny_host.generate([10], sampling()).ids  # the process goes on


def test_nothing_left_is_said_in_a_sentence(make_host, tiny_model):
    host = make_host(tiny_model)
    everything = {str(token): False for token in range(267)}
    with pytest.raises(CannotRun, match="left no candidate"):
        host.generate([10], sampling(logit_bias=everything))


def test_one_random_seed_for_all_samplers(tiny_host):
    given = sampling(seed=-1, temperature=2.0, xtc_probability=0.5, xtc_threshold=0.0, max_tokens=12)
    first = tiny_host.generate([10], given)
    again = tiny_host.generate([10], first.sampling.value())
    assert again.ids == first.ids
    assert [step.stages for step in again] == [step.stages for step in first]


def test_a_trace_says_who_took_the_first_place(tiny_host):
    ids = tiny_host.tokenize("the tin").ids
    top = tiny_host.generate(ids, sampling(max_tokens=1)).steps[0].id
    generation = tiny_host.generate(ids, sampling(max_tokens=1, logit_bias={str(top): -50}))
    table = sampler_trace(generation)[0]
    assert table.changed_by == "logit-bias"
    effects = {item.id: item.effects[0] for item in table.candidates}
    assert effects[top] == "lowered"
    assert set(effects.values()) == {"lowered", "raised"}
    assert "→ " in repr(table)
