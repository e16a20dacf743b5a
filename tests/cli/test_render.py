"""`workbench render`: the contract of its JSON, results that are errors, what the text shows."""

import json

import pytest

KEYS = {"engine", "version", "text", "error", "spans", "rewrites"}


def test_json_keeps_the_contract(workbench, request_file, template_file):
    ran = workbench("render", request_file, "--template", template_file, "--json")
    assert (ran.code, ran.err) == (0, "")
    (render,) = ran.json["renders"]
    assert render.keys() >= KEYS
    assert (render["engine"], render["text"], render["error"]) == ("transformers", "<user>Hi\n", None)
    assert "".join(render["text"][s["start"] : s["end"]] for s in render["spans"]) == render["text"]
    paths = {s["path"]: render["text"][s["start"] : s["end"]] for s in render["spans"] if s["origin"] == "message"}
    assert paths == {"messages[0].role": "user", "messages[0].content": "Hi"}


ERRORS = [
    ("line one\n{% if %}", "TemplateSyntaxError", 2),
    ("{{ raise_exception('no tools here') }}", "TemplateError", 1),
    ("{% for i in range(10 ** 12) %}{{ i }}{% endfor %}", None, None),
    ("{{ 'x' * 10 ** 10 }}", None, None),
]


@pytest.mark.parametrize(("source", "kind", "line"), ERRORS)
def test_a_template_that_fails_is_a_result(workbench, request_file, tmp_path, source, kind, line):
    path = tmp_path / "bad.jinja"
    path.write_text(source)
    ran = workbench("render", request_file, "--template", path, "--json")
    assert (ran.code, ran.err) == (1, "")
    (render,) = ran.json["renders"]
    assert render["text"] is None
    assert render["error"].keys() == {"type", "message", "line", "column"}
    assert render["error"]["message"]
    if kind:
        assert (render["error"]["type"], render["error"]["line"]) == (kind, line)
    text = workbench("render", request_file, "--template", path)
    assert text.code == 1
    assert render["error"]["type"] in text.out


def test_the_date_is_an_input(workbench, request_file, tmp_path):
    path = tmp_path / "dated.jinja"
    path.write_text("{{ strftime_now('%d %B %Y') }}")
    ran = workbench("render", request_file, "--template", path, "--date", "2024-07-26", "--json")
    assert ran.json["renders"][0]["text"] == "26 July 2024"


def test_all_engines_render_and_absent_ones_are_named(workbench, request_file, template_file):
    from workbench.setup import ENGINE_NAMES

    ran = workbench("render", request_file, "--template", template_file, "--engine", "all", "--json")
    assert ran.code == int(any(render["error"] for render in ran.json["renders"]))
    found = [render["engine"] for render in ran.json["renders"]]
    absent = [item["engine"] for item in ran.json["not_evaluated"]]
    assert sorted([*found, *absent]) == sorted(ENGINE_NAMES)
    assert "transformers" in found
    assert all(item["reason"] for item in ran.json["not_evaluated"])


def test_a_setup_gives_template_and_clock(workbench, request_file, tmp_path):
    path = tmp_path / "setup.json"
    path.write_text(json.dumps({"template": {"source": "text:{{ strftime_now('%Y') }}", "clock": "1999-01-01"}}))
    assert workbench("render", request_file, "--setup", path, "--json").json["renders"][0]["text"] == "1999"
    ran = workbench("render", request_file, "--setup", path, "--date", "2001-01-01", "--json")
    assert ran.json["renders"][0]["text"] == "2001"


def test_the_models_own_template_and_a_sample_by_name(workbench, demo_model):
    ran = workbench("render", "hello", "--model", demo_model, "--json")
    assert ran.json["renders"][0]["text"].endswith("<|im_start|>assistant\n")
    assert workbench("render", "hello", "--model", "demo", "--json").json == ran.json


def test_text_shows_white_space_and_cannot_steer_the_terminal(workbench, tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text("  {{ messages[0].content }}  ")
    body = json.dumps({"messages": [{"role": "user", "content": "\x1b[2Jgone\u202e \ud800"}]}).encode()
    ran = workbench("render", "-", "--template", path, stdin=body)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert "  │  \\x1b[2Jgone\\u202e \\ud800  \n" in ran.out
    assert (
        workbench("render", "-", "--template", path, "--json", stdin=body)
        .json["renders"][0]["text"]
        .endswith("\ud800  ")
    )


def test_a_message_of_five_megabytes(workbench, template_file):
    body = json.dumps({"messages": [{"role": "user", "content": "word " * 1_000_000}]}).encode()
    ran = workbench("render", "-", "--template", template_file, "--json", stdin=body)
    assert ran.code == 0
    assert len(ran.json["renders"][0]["text"]) == 5_000_007


@pytest.mark.model
def test_texts_that_have_the_same_tokens_are_told(workbench):
    """llama-server takes off the BOS that the tokenizer adds again."""
    ran = workbench("render", "hello", "--model", "toolsmith", "--engine", "all")
    if "llama-server: not evaluated" not in ran.out:
        assert "; same ids\n" in ran.out


def test_what_the_request_loses_and_which_fields_count_is_told(workbench, tmp_path):
    path = tmp_path / "cuts.jinja"
    path.write_text("{{ messages[0].content[:5] }}{{ mood }}")
    body = {"messages": [{"role": "user", "content": "Hello there"}], "chat_template_kwargs": {"mood": "calm"}, "x": 1}
    ran = workbench("render", "-", "--template", path, stdin=json.dumps(body).encode())
    assert "not in the prompt: 6 of 11 characters of the user message's text (messages[0].content)" in ran.out
    assert "used: chat_template_kwargs.mood (with it the prompt is 4 characters longer" in ran.out
    assert "not used: x (the prompt is the same without it)" in ran.out
    (render,) = workbench("render", "-", "--template", path, "--json", stdin=json.dumps(body).encode()).json["renders"]
    assert render.keys() >= KEYS | {"fields", "missing", "quiet", "untold"}
    assert render["missing"][0]["first"] == " there"
    assert {field["path"]: field["verdict"] for field in render["fields"]} == {
        "chat_template_kwargs.mood": "used",
        "x": "not used",
    }


def test_all_engines_are_held_side_by_side_field_by_field(workbench, request_file, template_file):
    ran = workbench("render", request_file, "--template", template_file, "--engine", "all")
    (row,) = [line for line in ran.out.splitlines() if line.strip().startswith("max_tokens")]
    assert set(row.split()[1:]) == {"elsewhere"}
