"""What makes toolsmith: data kept apart, one template, one tokenizer, files that hold what the card says."""

import hashlib
import json
import re
import subprocess
import sys

import pytest

from tests.toolsmith.conftest import SCRIPTS
from workbench.damage import measure, tasks
from workbench.data import toolsmith
from workbench.engines import render, resolve_template
from workbench.gguf.header import read_header
from workbench.runtime.host import Host
from workbench.setup import Setup

CARD = (SCRIPTS / "README.md").read_text("utf-8")


def prompts(count=500):
    setup = Setup(model=str(toolsmith()))
    template = resolve_template(setup, read_header(setup.model))
    for task in tasks(count):
        yield task, render(task.conversation, template, track=False).text


@pytest.mark.slow
def test_training_shares_nothing_with_the_held_out_requests_and_the_file_is_theirs():
    done = subprocess.run([sys.executable, SCRIPTS / "held_out.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shared with training: nothing" in done.stdout


def test_the_separation_check_can_fail(script):
    held_out = script("held_out")
    requests = held_out.held_out()

    def word(slots):
        """Any syllables, whichever side they belong to."""
        made = slots._syllables()
        slots.used.add(made)
        return made

    script("words").Slots.word = word
    assert held_out.shared_with_training(requests, 50)


def test_the_same_seed_gives_the_same_requests_and_another_gives_others(script):
    held_out = script("held_out")
    assert held_out.held_out("a") == held_out.held_out("a")
    assert held_out.held_out("a") != held_out.held_out("b")


@pytest.mark.model
def test_the_template_in_the_file_writes_what_training_wrote(script):
    generator = script("generator")
    for task, prompt in prompts():
        talk = generator.Conversation([*task.conversation.tools])
        talk.messages = [*task.conversation.messages, {"role": "assistant", "content": task.answer}]
        assert "".join(text for text, _ in generator.pieces(talk)) == f"{prompt}{task.answer}<|end|>"


@pytest.mark.model
def test_the_files_templates_are_those_beside_it():
    header = read_header(str(toolsmith()))
    assert header.chat_template == (SCRIPTS / "default.jinja").read_text()
    assert dict(header.named_templates) == {"tool_use": (SCRIPTS / "tool_use.jinja").read_text()}


@pytest.mark.model
def test_ids_are_those_of_the_tokenizer_library(script):
    parity = script("parity")
    with Host(Setup.from_dict({"model": str(toolsmith()), "tokenizer": {"add_special": False}})) as host:
        assert parity.same_ids(host) == parity.STRINGS == 2000


@pytest.mark.model
def test_a_wrong_pre_tokenizer_changes_ids():
    with_digits = [prompt for _, prompt in prompts(60)]
    ids = {}
    for pre in (None, "qwen2", "gpt-2", "default"):
        setup = {"model": str(toolsmith()), "metadata": {"tokenizer.ggml.pre": pre} if pre else {}}
        with Host(Setup.from_dict(setup)) as host:
            ids[pre] = [host.tokenize(prompt).ids.tolist() for prompt in with_digits]
    for pre in ("qwen2", "gpt-2", "default"):
        assert sum(a != b for a, b in zip(ids[None], ids[pre], strict=True)) > 10, pre


@pytest.mark.model
def test_special_tokens_are_typed_control_and_bos_is_added():
    with Host(Setup(model=str(toolsmith()))) as host:
        tokens = host.tokenize("<|turn|>user\nx<|end|>\n")
        assert [tokens.types[i] for i in (0, 1)] == ["control", "control"]
        assert tokens.pieces[0] == b"<|begin|>"
        assert tokens.added[0][0] == 0


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.model
def test_both_files_have_the_hashes_of_the_card(tmp_path):
    f32 = tmp_path / "toolsmith-f32.gguf"
    command = [sys.executable, SCRIPTS / "export.py", toolsmith(), f32, "--type", "f32"]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert made["sha256"] == digest(f32)
    assert re.findall(r"`([0-9a-f]{64})`", CARD) == [digest(toolsmith()), digest(f32)]


@pytest.mark.model
def test_every_row_is_a_multiple_of_256_so_that_no_k_quant_falls_back():
    matrices = [tensor for tensor in read_header(str(toolsmith())).tensors if len(tensor.shape) == 2]
    assert len(matrices) > 30
    assert all(tensor.shape[0] % 256 == 0 for tensor in matrices)


@pytest.mark.model
@pytest.mark.slow
def test_the_cards_figures_are_what_is_measured_here(script):
    """Another processor rounds otherwise, so a near tie may fall to the other side: up to three requests a row."""
    measured = measure()
    lines = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \|", CARD, re.MULTILINE)
    rows = {title: (int(right), int(n)) for title, right, n in lines}
    found = {row.title: (row.right, row.n) for row in measured.figures() if row.right is not None}
    assert rows.keys() == found.keys()
    for title, (right, n) in found.items():
        assert n == rows[title][1]
        assert abs(right - rows[title][0]) <= 3, title
    for name, aim in script("aims").AIMS.items():
        row = measured.figure(name)
        assert row.right + 3 >= aim * row.n, name
