"""`workbench quality`: its JSON, its text, its exit codes, mistakes."""

import json

import pytest

from tests.gguf import tiny
from workbench.data import held_out_file, toolsmith
from workbench.quality import KINDS
from workbench.runtime.quantise import quantise


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    (folder / "text.txt").write_text(held_out_file().read_text("utf-8")[:1500], "utf-8")
    quantise(toolsmith(), folder / "q8.gguf", "Q8_0")
    (folder / "kv.json").write_text(json.dumps({"model": str(toolsmith()), "runtime": {"type_k": "q4_0"}}))
    return folder


@pytest.mark.model
def test_json_has_the_figures_of_every_candidate(workbench, files):
    given = ("toolsmith", files / "q8.gguf", files / "kv.json", "--text", files / "text.txt", "--n-ctx", 128)
    ran = workbench("quality", *given, "--json")
    assert (ran.code, ran.err) == (0, "")
    eight, keys = ran.json["candidates"]
    assert eight["model"].endswith("q8.gguf")
    assert keys["model"] == str(toolsmith())
    for kind in KINDS:
        assert set(eight[kind.name]) == {"value", "uncertainty"}
    assert 0 < eight["mean_kld"]["value"] < keys["mean_kld"]["value"]
    assert eight["median_kld"]["uncertainty"] is None
    assert 80 < eight["same_top_p"]["value"] <= 100
    assert ran.json["reference"]["on_grid"] is False
    shown = workbench("quality", *given)
    assert shown.code == 0
    for words in ("5 chunks were measured before", "mean KL divergence", "same first place", "type_k q4_0", "± "):
        assert words in shown.out


@pytest.mark.model
def test_a_quantised_base_is_told(workbench, files):
    ran = workbench("quality", files / "q8.gguf", files / "q8.gguf", "--text", files / "text.txt", "--n-ctx", 128)
    assert "note: the base is no original: q8.gguf is a quantised file: 100 % Q8_0 (37 of 37)" in ran.out


@pytest.mark.model
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required: BASE, CANDIDATE, --text"),
        (("toolsmith", "toolsmith"), "required: --text"),
        (("nowhere.gguf", "toolsmith", "--text", "{text}"), "nowhere.gguf does not exist"),
        (("toolsmith", "nowhere.json", "--text", "{text}"), "no file at nowhere.json"),
        (("toolsmith", "toolsmith", "--text", "nowhere.txt"), "no file at nowhere.txt"),
        (("toolsmith", "toolsmith", "--text", "/dev/zero"), "/dev/zero is longer than 256 MiB"),
        (("toolsmith", "toolsmith", "--text", "{text}", "--n-ctx", "many"), "invalid int value"),
        (("toolsmith", "toolsmith", "--text", "{text}", "--n-ctx", "0"), "n_ctx is 0"),
        (("toolsmith", "{text}", "--text", "{text}"), "is not a GGUF file"),
        (("toolsmith", "{tiny}", "--text", "{text}"), "has another vocabulary"),
    ],
)
def test_mistakes_are_one_line(workbench, files, arguments, message):
    if not (files / "tiny.gguf").exists():
        tiny.model_file(files / "tiny.gguf")
    places = {"{text}": files / "text.txt", "{tiny}": files / "tiny.gguf"}
    assert message in workbench("quality", *(places.get(word, word) for word in arguments)).refused()


@pytest.mark.model
def test_a_text_of_less_than_two_chunks_is_one_line(workbench, files):
    ran = workbench("quality", "toolsmith", files / "q8.gguf", "--text", files / "text.txt")
    assert "tokens; accepted are 1,024 or more: two chunks of 512 tokens" in ran.refused()
