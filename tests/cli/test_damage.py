"""`workbench damage`: its JSON, its text, its exit codes, mistakes."""

import json

import pytest


@pytest.mark.model
def test_json_has_the_figures_and_every_request(workbench):
    ran = workbench("damage", "--requests", 20, "--json")
    assert (ran.code, ran.err) == (0, "")
    figures = {row["figure"]: row for row in ran.json["figures"]}
    assert figures["exact"]["n"] == 20
    assert figures["exact"]["low"] < figures["exact"]["value"] <= figures["exact"]["high"]
    assert len(ran.json["outcomes"]) == 20
    assert ran.json["setup"]["model"].endswith("toolsmith-f16.gguf")


@pytest.mark.model
def test_against_a_damaged_setup_is_a_difference(workbench, tmp_path):
    low = tmp_path / "low.json"
    low.write_text(json.dumps({"parser": "plain"}))
    ran = workbench("damage", "--requests", 40, "--against", low, "--json")
    assert ran.code == 1
    changes = {row["figure"]: row for row in ran.json["changes"]}
    assert changes["exact calls"]["after"] == 0
    assert changes["nats per answer"]["difference"] == 0
    shown = workbench("damage", "--requests", 40, "--against", low)
    assert shown.code == 1
    for words in ("parser: 'auto' -> 'plain'", "exact tool calls", "points"):
        assert words in shown.out


@pytest.mark.model
def test_the_same_setup_twice_is_none(workbench, tmp_path):
    same = tmp_path / "same.json"
    same.write_text("{}")
    ran = workbench("damage", "--requests", 10, "--against", same)
    assert ran.code == 0


@pytest.mark.model
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--requests", "0"), "accepted are 1 to 500"),
        (("--requests", "many"), "invalid int value"),
        (("--hosts", "0"), "hosts is 0"),
        (("--model", "nowhere.gguf"), "nowhere.gguf does not exist"),
        (("--setup", "nowhere.json"), "no file at nowhere.json"),
        (("--model", "a.gguf", "--setup", "b.json"), "both --model and --setup"),
    ],
)
def test_mistakes_are_one_line(workbench, arguments, message):
    assert message in workbench("damage", *arguments).refused()
