"""The llama-cpp-python preset draws the ids that llama-cpp-python draws, where its chain is not llama.cpp's too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import data
from workbench.branches import branch
from workbench.compare.branches import Branches
from workbench.conversation import Conversation
from workbench.prompt import prompt_of
from workbench.runtime.host import Host
from workbench.sampling.effective import effective
from workbench.setup import Setup
from workbench.stages import Tokens

pytestmark = pytest.mark.model
MESSAGES = [{"role": "user", "content": "read src/app.py and then read it again please"}]
OPEN = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
CASES = {
    "nobody names a seed": OPEN,
    "its own order": {"temperature": 3.0, "top_k": 9, "typical_p": 0.8, "top_p": 0.9, "seed": 5},
    "a penalty does not count the prompt": OPEN | {"repeat_penalty": 1.5, "seed": 3},
    "also at temperature 0": {"temperature": 0.0, "repeat_penalty": 1.5},
    "mirostat knows no temperature": {"temperature": 1.5, "mirostat": 2, "seed": 5},
    "mirostat 1": {"temperature": 1.5, "mirostat": 1, "seed": 5},
    "the penalties come before it": {"temperature": 1.5, "mirostat": 2, "repeat_penalty": 1.5, "seed": 5},
    "at temperature 0 there is none": {"temperature": 0.0, "mirostat": 1, "mirostat_tau": 9.0},
    "a grammar comes first": OPEN | {"grammar": 'root ::= "{" [a-z/]+ "}"', "top_k": 4, "seed": 6},
    "false bans nothing": OPEN | {"logit_bias": {"967": False, "91": 4.0}, "seed": 7},
}
COUNT = 24


@pytest.fixture(scope="module")
def single():
    runtime = {"n_ctx": 512, "n_threads": 1, "flash_attn": True}
    with Host(Setup.from_dict({"model": str(data.toolsmith()), "runtime": runtime})) as host:
        yield host


@pytest.fixture(scope="module")
def prompt(single):
    return [int(i) for i in prompt_of(Conversation.of(MESSAGES), single.setup, host=single).ids]


@pytest.fixture(scope="module")
def theirs(prompt):
    """By case, what the program itself draws."""

    def job(asked):
        return {"prompt": prompt, "asked": its_own(asked) | {"max_tokens": COUNT}}

    command = [sys.executable, str(Path(__file__).with_name("python_program.py")), str(data.toolsmith())]
    given = json.dumps([job(asked) for asked in CASES.values()])
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return dict(zip(CASES, json.loads(ran.stdout), strict=True))


def its_own(asked):
    """The fields by llama-cpp-python's own names."""
    return {"mirostat_mode" if name == "mirostat" else name: value for name, value in asked.items()}


def settings_of(name, preset="llama-cpp-python"):
    asked = its_own(CASES[name]) if preset == "llama-cpp-python" else CASES[name]
    return effective(Conversation.from_dict({"messages": MESSAGES, "max_tokens": COUNT} | asked), preset)


@pytest.mark.parametrize("name", CASES)
def test_the_same_ids(name, single, prompt, theirs):
    single.score([0])  # the prompt is evaluated in one piece here too
    assert list(single.generate(prompt, settings_of(name).sampling).ids) == theirs[name]


@pytest.mark.parametrize("name", ["a penalty does not count the prompt", "mirostat 1", "the penalties come before it"])
def test_llama_servers_chain_draws_others(name, single, prompt, theirs):
    """Else the cases would show nothing."""
    assert list(single.generate(prompt, settings_of(name, "llama-server").sampling).ids) != theirs[name]


def test_it_goes_through_a_setup_and_a_branch(single, prompt, theirs):
    """A branch's penalties count the answer before it, and still no prompt."""
    name = "also at temperature 0"
    setup = settings_of(name).setup(single.setup)
    assert setup.sampling.chain == "llama-cpp-python"
    base = single.generate(prompt, setup.sampling_for(Conversation.of(MESSAGES)))
    assert list(base.ids) == theirs[name]
    tokens = single.tokenize("x")
    spans = [(0, 0)] * len(prompt)
    of_prompt = Tokens(prompt, (b"",) * len(prompt), ("normal",) * len(prompt), spans, spans, (), tokens.n_vocab)
    again = branch(Branches(of_prompt, base), setup, 9, base.ids[9], host=single).branches[0]
    assert again.generation.ids == base.ids[10:]
