"""`workbench inspect`: the contract of its JSON, and files that cannot be run."""

import pytest


def test_json_keeps_the_contract(workbench, demo_model):
    ran = workbench("inspect", demo_model, "--json")
    assert (ran.code, ran.err) == (0, "")
    facts = ran.json
    assert facts["metadata"]["general.architecture"] == "llama"
    assert facts["metadata"]["tokenizer.ggml.tokens"]["count"] == facts["tokenizer"]["n_vocab"] == 49152
    assert "<|im_start|>" in facts["template"]
    assert facts["special_tokens"]["bos"]["text"] == "<|im_start|>"
    assert facts["special_tokens"]["eos"]["text"] == "<|im_end|>"
    assert facts["tensor_types"]["Q4_1"].keys() == {"count", "bytes"}
    assert sum(entry["bytes"] for entry in facts["tensor_types"].values()) < demo_model.stat().st_size
    assert facts["fingerprint"]
    assert str(demo_model.parent) not in ran.out


def test_text_shows_the_same_facts(workbench, demo_model):
    ran = workbench("inspect", demo_model)
    assert ran.code == 0
    for fact in ("llama", "Q4_1", "49,152", "<|im_start|>", "30 layers", "tokenizer.chat_template"):
        assert fact in ran.out, fact


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_cut_tensors_cannot_be_run_and_the_missing_part_is_named(workbench, demo_model, tmp_path, share):
    cut = tmp_path / "cut.gguf"
    content = demo_model.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    line = workbench("inspect", cut, "--json").refused()
    assert "cut.gguf" in line
    assert "byte" in line


BAD = [
    (b"", "empty"),
    (b"<html>", "GGUF"),
    (b"GGUF", "GGUF"),
    (b"GGUF\x63\0\0\0" + b"\0" * 16, "version"),
    (b"GGUF\3\0\0\0" + b"\xff" * 16, "GGUF"),
]


@pytest.mark.parametrize(("content", "words"), BAD)
def test_a_file_that_is_no_gguf_is_one_line(workbench, tmp_path, content, words):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    assert words in workbench("inspect", path).refused()
