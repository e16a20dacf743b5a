"""`workbench trace`: the whole chain on the demo model, what stops it, what is saved."""

import base64
import json

import pytest

from workbench.data import toolsmith

pytestmark = pytest.mark.model


def test_json_keeps_the_contract(workbench, demo_model):
    ran = workbench("trace", "data/requests/hello.json", "--model", demo_model, "--json")
    assert (ran.code, ran.err) == (0, "")
    facts = ran.json
    n = len(facts["tokens"]["ids"])
    assert {"rendered", "tokens", "scores", "generation", "parsed", "environment", "elapsed_ms"} <= facts.keys()
    assert facts["tokens"].keys() >= {"ids", "pieces", "types", "spans"}
    text = b"".join(base64.b64decode(piece) for piece in facts["tokens"]["pieces"]).decode()
    assert text == facts["rendered"]["text"]
    scores = facts["scores"]
    assert {
        name: len(scores[name]) for name in ("logprob", "rank", "entropy", "margin", "top_ids", "top_logprobs")
    } == (dict.fromkeys(("logprob", "rank", "entropy", "margin", "top_ids", "top_logprobs"), n))
    assert scores["logprob"][-1] is None
    assert scores["rank"][-1] is None
    assert all(logprob <= 0 for logprob in scores["logprob"][:-1])
    assert "Paris" in facts["generation"]["text"]
    assert facts["parsed"].keys() >= {"content", "reasoning", "tool_calls", "repairs", "errors"}
    assert facts["elapsed_ms"].keys() == {"rendered", "tokens", "scores", "generation", "parsed"}
    assert facts["stopped"] is None


def test_text_shows_every_step(workbench):
    ran = workbench("trace", "hello", "--model", "demo")
    assert (ran.code, ran.err) == (0, "")
    for title in ("Rendered", "Tokens", "Scores", "Answer", "Parsed"):
        assert f"\n{title} " in f"\n{ran.out}"
    assert "Paris" in ran.out


@pytest.mark.parametrize("until", ["rendered", "tokens", "scores"])
def test_until_stops_there_and_is_no_error(workbench, until):
    ran = workbench("trace", "hello", "--model", "demo", "--until", until, "--json")
    assert ran.code == 0
    stages = ("rendered", "tokens", "scores", "generation", "parsed")
    reached = stages[: stages.index(until) + 1]
    assert [name for name in stages if ran.json[name] is not None] == list(reached)


def test_a_saved_trace_loads_without_the_model(workbench, tmp_path):
    from workbench.trace import Trace

    folder = tmp_path / "kept"
    ran = workbench("trace", "hello", "--model", "demo", "--save", folder, "--json")
    loaded = Trace.load(folder)
    assert loaded.generation.text == ran.json["generation"]["text"]
    assert loaded.scores.top_ids.tolist() == ran.json["scores"]["top_ids"]


def test_a_folder_that_cannot_be_written_is_one_line(workbench, tmp_path):
    (tmp_path / "file").write_text("")
    ran = workbench("trace", "hello", "--model", "demo", "--until", "rendered", "--save", tmp_path / "file", "--json")
    assert "cannot be written" in ran.refused()
    ran = workbench("trace", "hello", "--model", "demo", "--until", "rendered", "--save", "", "--json")
    assert "--save names no folder" in ran.refused()


def test_a_prompt_longer_than_the_context_keeps_what_was_had(workbench, tmp_path, demo_model):
    setup, request = tmp_path / "setup.json", tmp_path / "long.json"
    setup.write_text(json.dumps({"model": str(demo_model), "runtime": {"n_ctx": 256}}))
    request.write_text(json.dumps({"messages": [{"role": "user", "content": "word " * 300}]}))
    ran = workbench("trace", request, "--setup", setup, "--json")
    assert ran.code == 1
    assert ran.json["stopped"]["stage"] == "scores"
    n = len(ran.json["tokens"]["ids"])
    assert n > 300
    assert str(n - 256) in ran.json["stopped"]["error"]["message"]
    text = workbench("trace", request, "--setup", setup)
    assert text.code == 1
    assert "Stopped" in text.out


def test_a_template_that_raises_is_a_result(workbench, tmp_path, demo_model):
    setup = tmp_path / "setup.json"
    template = {"source": "text:{{ raise_exception('not this') }}"}
    setup.write_text(json.dumps({"model": str(demo_model), "template": template}))
    ran = workbench("trace", "hello", "--setup", setup, "--json")
    assert ran.code == 1
    assert ran.json["rendered"]["text"] is None
    assert "not this" in ran.json["rendered"]["error"]["message"]
    assert ran.json["tokens"] is None


def test_the_setup_overrides_the_request(workbench, tmp_path, demo_model, request_file):
    setup = tmp_path / "setup.json"
    setup.write_text(json.dumps({"model": str(demo_model), "sampling": {"max_tokens": 2}}))
    ran = workbench("trace", request_file, "--setup", setup, "--json")
    assert len(ran.json["generation"]["ids"]) == 2
    assert ran.json["generation"]["stop_reason"] == "max-tokens"


def test_odd_runtime_settings_are_one_line_and_logits_that_are_no_numbers_a_result(workbench, tmp_path):
    setup = tmp_path / "setup.json"
    for runtime in ('{"n_ctx": NaN}', '{"n_ctx": 1e999}', '{"type_k": 3}', '{"devices": "CPU"}', '{"n_ctx": -5}', "7"):
        setup.write_text(f'{{"model": {json.dumps(str(toolsmith()))}, "runtime": {runtime}}}')
        assert "accepted is" in workbench("trace", "hello", "--setup", setup, "--json").refused()
    setup.write_text(json.dumps({"model": str(toolsmith()), "runtime": {"yarn_attn_factor": 1e10}}))
    ran = workbench("trace", "hello", "--setup", setup, "--json")
    assert (ran.code, ran.err) == (1, "")
    assert "are no numbers" in ran.json["stopped"]["error"]["message"]
