"""Answers: the same ids as llama.cpp's own chain, what each sampler did, and why it stopped."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workbench.conversation import Conversation
from workbench.errors import BadRequest, Cancelled
from workbench.progress import Cancel
from workbench.setup import Setup

HELLO = Conversation.of([{"role": "user", "content": "x"}])
PROMPT = (
    "<|turn|>system\nYou are a coding agent. Project: main. Branch: main.\n<tools>\n"
    '{{"name": "read_file", "description": "read a file", "parameters": {{"path": "string"}}}}\n'
    '{{"name": "rm", "description": "delete a file", "parameters": {{"target": "string"}}}}\n'
    "</tools><|end|>\n<|turn|>user\n{}<|end|>\n<|turn|>assistant\n"
)
CALL = '<tool_call>\n{"name": "read_file", "arguments": {"path": "src/app.py"}}\n</tool_call>'


def sampling(**changes):
    return Setup.from_dict({"sampling": changes}).sampling_for(HELLO)


def ask(host, text, **changes):
    stop = changes.pop("stop", [])
    ids = host.tokenize(PROMPT.format(text)).ids
    return host.generate(ids, sampling(**changes) | {"stop": stop})


@pytest.mark.model
def test_the_answer_of_toolsmith(toolsmith):
    steps = []
    ids = toolsmith.tokenize(PROMPT.format("read src/app.py")).ids
    generation = toolsmith.generate(ids, sampling(), on_step=steps.append)
    assert generation.text == CALL
    assert generation.stop_reason == "end-of-generation"
    assert generation.steps[-1].piece == b"<|end|>"
    assert tuple(steps) == generation.steps
    assert generation.raw == CALL.encode() + b"<|end|>"


@pytest.mark.model
def test_temperature_zero_is_the_most_likely_token(toolsmith):
    ids = toolsmith.tokenize(PROMPT.format("delete page.md")).ids.tolist()
    generation = toolsmith.generate(ids, sampling(max_tokens=12))
    scores = toolsmith.score([*ids, *generation.ids])
    for k, step in enumerate(generation.steps):
        assert step.rank == 1
        assert step.id == step.top_ids[0]
        assert step.stages[-1].n_left == 1
        at = len(ids) - 1 + k
        assert scores.margin[at] < 0.05 or scores.top_ids[at, 0] == step.id
        assert step.logprob == pytest.approx(scores.logprob[at], abs=0.05)


@pytest.mark.model
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1, "temperature": 0.9},
        {"seed": 7, "temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
        {"seed": 3, "temperature": 1.2, "repeat_penalty": 1.3, "repeat_last_n": 32, "top_p": 0.8},
        {"temperature": 0.0},
    ],
)
def test_the_same_ids_as_llama_cpp_own_chain(toolsmith, changes):
    ids = toolsmith.tokenize(PROMPT.format("what is our branch")).ids.tolist()
    toolsmith.score([0])  # the prompt is evaluated in one piece here too
    wanted = sampling(**changes, max_tokens=16)
    program = Path(__file__).with_name("reference_chain.py")
    command = [sys.executable, str(program), toolsmith.setup.model, json.dumps(ids), json.dumps(wanted), "16"]
    reference = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    drawn = list(toolsmith.generate(ids, wanted).ids)
    assert drawn == reference[: len(drawn)]
    assert list(toolsmith.generate(ids, wanted).ids)[:4] == drawn[:4]


def test_what_each_sampler_left(tiny_host):
    wanted = sampling(seed=5, temperature=1.3, top_k=20, top_p=0.9, min_p=0.01, repeat_penalty=1.2, max_tokens=5)
    generation = tiny_host.generate(tiny_host.tokenize("the tin").ids, wanted)
    for step in generation.steps:
        assert [stage.name for stage in step.stages] == [
            "penalties",
            "top-k",
            "top-p",
            "min-p",
            "temperature",
            "dist",
        ]
        left = 267
        for stage in step.stages:
            assert stage.n_left + stage.n_removed == left
            left = stage.n_left
            assert sum(stage.top_probs) <= 1 + 1e-6
            assert list(stage.top_probs) == sorted(stage.top_probs, reverse=True)
            assert len(stage.top_ids) == min(10, left)
        assert step.stages[1].n_left == 20
        assert step.stages[0].n_removed == 0
        assert sum(step.stages[1].top_probs) < 1  # ten of twenty


def test_max_tokens_and_none_at_all(tiny_host):
    ids = tiny_host.tokenize("the").ids
    assert tiny_host.generate(ids, sampling(max_tokens=3)).stop_reason == "max-tokens"
    nothing = tiny_host.generate(ids, sampling(max_tokens=0))
    assert (nothing.steps, nothing.text, nothing.stop_reason) == ((), "", "max-tokens")


def test_the_context_fills_up(make_host, tiny_model):
    host = make_host(tiny_model, runtime={"n_ctx": 256})
    generation = host.generate([10] * 250, sampling(max_tokens=100, temperature=1.5, seed=2))
    assert generation.stop_reason == "context-full"
    assert len(generation) == 7
    assert "256" in generation.stop_detail


@pytest.mark.model
def test_stop_texts_are_left_out(toolsmith):
    generation = ask(toolsmith, "read src/app.py", stop=["xyz", "src/"])
    assert generation.stop_reason == "stop-text"
    assert generation.text == CALL.partition("src/")[0]
    assert generation.raw.endswith(b"src/")
    assert "'src/'" in generation.stop_detail


def test_a_character_over_several_tokens_comes_out_whole(tiny_host, monkeypatch):
    from workbench.runtime.answers import build_generation, build_step

    def step(piece):
        import base64

        raw = base64.b64encode(piece).decode()
        fields = dict.fromkeys(("id", "logprob", "rank", "entropy", "margin"), 0)
        return build_step(
            fields | {"piece": raw, "shown": raw, "type": "byte", "top_ids": [], "top_logprobs": [], "stages": []}
        )

    stopped = {"stop_reason": "max-tokens", "stop_detail": ""}
    pieces = [step(bytes([b])) for b in "é🎉".encode()]
    assert build_generation(pieces, stopped, {"stop": []}).text == "é🎉"
    assert build_generation(pieces[:-1], stopped, {"stop": []}).text == "é\\xf0\\x9f\\x8e"


def test_only_the_new_part_of_a_prompt_is_read(tiny_host):
    ids = tiny_host.tokenize("the tin the tin").ids.tolist()
    tiny_host.generate(ids, sampling(max_tokens=1))
    assert tiny_host.evaluated == len(ids)
    tiny_host.generate(ids, sampling(max_tokens=1))
    assert tiny_host.evaluated == 1  # the last one again, for its logits
    first = tiny_host.score(ids)
    assert first.rank[0] > 0


def test_a_cancelled_answer_is_the_part_that_is_there(make_host, endless_model):
    tiny_host = make_host(endless_model, runtime={"n_ctx": 16384})
    cancel = Cancel()
    seen = []

    def on_step(step):
        seen.append(step)
        if len(seen) == 5:
            cancel.set()

    generation = tiny_host.generate([10], sampling(max_tokens=10_000), on_step=on_step, cancel=cancel)
    assert generation.stop_reason == "cancelled"
    assert 5 <= len(generation) < 10_000
    assert "was cancelled" in generation.stop_detail
    late = tiny_host.generate([10], sampling(max_tokens=50_000), deadline_s=0.05)
    assert late.stop_reason == "cancelled"
    assert "deadline of 0.05 s" in late.stop_detail
    with pytest.raises(Cancelled):
        tiny_host.score([10], cancel=cancel)


def test_tokens_that_the_model_bans_are_never_drawn(make_host, endless_model):
    wanted = sampling(temperature=50.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=400, seed=1)
    generation = make_host(endless_model).generate([10], wanted)
    assert len(generation) == 400
    assert not {0, 1, 2, 3} & set(generation.ids)
    assert generation.steps[0].stages[0][:3] == ("logit-bias", 263, 4)


def test_a_random_seed_is_told(tiny_host):
    generation = tiny_host.generate([10], sampling(seed=2**32 - 1, temperature=2.0, max_tokens=8))
    seed = generation.sampling.value()["seed"]
    again = tiny_host.generate([10], sampling(seed=seed, temperature=2.0, max_tokens=8))
    assert seed != 2**32 - 1
    assert again.ids == generation.ids


def test_a_penalty_of_zero_is_refused(tiny_host):
    with pytest.raises(BadRequest, match="repeat_penalty is 0; accepted is at least"):
        tiny_host.generate([10], sampling(repeat_penalty=0))


def test_a_penalty_counts_the_prompt(tiny_host):
    free = tiny_host.generate([10] * 4, sampling(temperature=1.0, max_tokens=1))
    held = tiny_host.generate([10] * 4, sampling(temperature=1.0, max_tokens=1, repeat_penalty=5.0))
    assert held.steps[0].logprob == held.steps[0].logprob
    ranks = [step.stages[0].top_ids.index(10) if 10 in step.stages[0].top_ids else np.inf for step in held]
    assert ranks[0] == np.inf or free.steps[0].top_ids.index(10) < ranks[0] + 1
