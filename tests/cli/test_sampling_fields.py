"""Sampling fields and setup files on the command line: what is refused, what is named, what stands for a path."""

import json

import pytest

from workbench import data

TINY = {"model": "toolsmith"}


@pytest.fixture
def trace(workbench, tmp_path):
    """`workbench trace` of a small request with these fields under this setup file."""

    def run(fields, setup=None, *options):
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2} | fields
        (tmp_path / "r.json").write_text(json.dumps(body))
        (tmp_path / "s.json").write_text(json.dumps(TINY | (setup or {})))
        return workbench("trace", "r.json", "--setup", "s.json", *options, cwd=tmp_path)

    return run


@pytest.mark.parametrize(
    ("fields", "setup", "said"),
    [
        ({"stop": ["a", ""]}, {}, 'r.json: "stop"[1] is an empty text, which is no stop'),
        ({"logit_bias": {"1024": 1}}, {}, "r.json's logit_bias names the token 1024; accepted are ids from 0 to 1023"),
        ({}, {"sampling": {"logit_bias": {"4096": 1}}}, "the setup's sampling.logit_bias names the token 4096"),
        ({"temperature": "0.7"}, {}, 'r.json: temperature is "0.7"; accepted is a number'),
        ({"top_k": True}, {}, "r.json: top_k is true; accepted is a whole number"),
        ({"min_p": 1.5}, {}, "r.json: min_p is 1.5; accepted is a number from 0 to 1"),
        ({"n_predict": -2}, {}, "r.json: n_predict is -2; accepted is a whole number"),
        (
            {},
            {"model": "nobody.gguf"},
            "s.json: model stands for nobody.gguf, which does not exist; accepted is a path",
        ),
        ({}, {"template": {"source": "file:t.jinja"}}, "s.json: template.source stands for t.jinja, which does not"),
    ],
)
def test_a_mistake_is_refused_before_the_model_runs(trace, fields, setup, said):
    assert said in trace(fields, setup).refused()


@pytest.mark.model
@pytest.mark.parametrize(("in_setup", "who"), [(False, "r.json's grammar"), (True, "the setup's sampling.grammar")])
def test_a_refused_grammar_is_a_result_that_names_its_place(trace, in_setup, who):
    grammar = {"grammar": 'root ::= line\nline ::= [0-9]+ "\\k"'}
    ran = trace(grammar, {"sampling": grammar if in_setup else {}}, "--json")
    said = ran.json["stopped"]["error"]["message"]
    assert (ran.code, f"llama.cpp does not take {who}: unknown escape at line 2, column 18" in said) == (1, True)


@pytest.mark.model
def test_what_the_answer_did_not_follow_is_said_with_what_it_looks_like(trace):
    fields = {"repetition_penalty": 1.3, "options": {"num_predict": 5}, "n": 2, "n_predict": 1, "top_k": 5, "zebra": 1}
    setup = {"sampling": {"top_k": 2}}
    ran = trace(fields, setup)
    assert (ran.code, ran.err) == (0, "")
    for said in (
        "not used: zebra (the prompt is the same without it)",
        "repetition_penalty is ignored here; it looks like repeat_penalty",
        "options.num_predict is ignored here; it looks like n_predict",
        "n is ignored here",
        "max_tokens is ignored here; n_predict goes before it",
        "top_k is ignored here; the setup's sampling.top_k goes before it",
    ):
        assert said in ran.out
    assert "zebra is" not in ran.out
    told = {field["path"]: field["verdict"] for field in trace(fields, setup, "--json").json["sampling_fields"]}
    ignored = {"repetition_penalty", "options.num_predict", "n", "max_tokens", "top_k", "zebra"}
    assert told == dict.fromkeys(ignored, "ignored")


@pytest.mark.parametrize("name", ["demo", "toolsmith"])
def test_a_setup_file_names_the_models_that_come_along(workbench, tmp_path, demo_model, name):
    (tmp_path / "s.json").write_text(json.dumps({"model": name}))
    by_setup = workbench("render", "hello", "--setup", tmp_path / "s.json", "--json").json["renders"]
    assert by_setup == workbench("render", "hello", "--model", name, "--json").json["renders"]


def test_a_file_of_that_name_goes_before_the_model(workbench, tmp_path):
    (tmp_path / "demo").write_bytes(data.toolsmith().read_bytes())
    (tmp_path / "s.json").write_text('{"model": "demo"}')
    ran = workbench("render", "hello", "--setup", tmp_path / "s.json", "--json")
    assert "<|turn|>" in ran.json["renders"][0]["text"]
