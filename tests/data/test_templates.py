"""Templates of well-known formats: equal to those built into llama.cpp, on every engine; tools and faults show."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.data import templates
from workbench.engines import Template, render
from workbench.engines.legacy_worker import Library

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Two?"},
]
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call00001", "type": "function", "function": {"name": "read", "arguments": {"path": "a<b>"}}}
ROUND = [
    TURNS[0],
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call00001", "content": "found"},
    {"role": "assistant", "content": "It is there."},
    TURNS[2],
]
# Ours, llama.cpp's name for the same format, and what that writes for the end of a turn.
BUILT_IN = [
    ("chatml", "chatml", ""),
    ("llama-3", "llama3", ""),
    ("mistral-v1", "mistral-v1", "</s>"),
    ("mistral-v3", "mistral-v3", "</s>"),
    ("mistral-v3-tekken", "mistral-v3-tekken", "</s>"),
    ("mistral-v7", "mistral-v7", "</s>"),
    ("mistral-v7-tekken", "mistral-v7-tekken", "</s>"),
    ("phi-3", "phi3", ""),
    ("gemma", "gemma", ""),
    ("command-r", "command-r", ""),
    ("deepseek", "deepseek3", ""),
    ("zephyr", "zephyr", "<|endoftext|>"),
    ("vicuna", "vicuna", "</s>"),
]
WITH_TOOLS = ("chatml", "llama-3", "mistral-v3", "mistral-v3-tekken", "mistral-v7", "mistral-v7-tekken", "deepseek")
NAMES = sorted(templates())


def written(
    name: str, messages: list[dict[str, Any]], *, engine: str = "transformers", eos: str = "</s>", **more: Any
) -> str:
    template = Template(templates()[name].read_text("utf-8"), (), (("bos_token", "<s>"), ("eos_token", eos)))
    found = render(Conversation.from_dict({"messages": messages, **more}), template, engine=engine)
    assert found.error is None, found.error
    assert found.text is not None
    return found.text


@pytest.mark.parametrize(("name", "built_in", "eos"), BUILT_IN)
@pytest.mark.parametrize("system", [True, False])
def test_it_is_what_llama_cpp_has_built_in(name: str, built_in: str, eos: str, system: bool) -> None:
    messages = [SYSTEM, *TURNS] if system else TURNS
    wanted = Library().apply(built_in, [(m["role"], m["content"]) for m in messages], ask=True)
    assert written(name, messages, eos=eos).removeprefix("<s>") == wanted


def test_formats_that_llama_cpp_writes_in_another_way() -> None:
    """Llama 2 with its spaces and BOS, and Alpaca, as their own documentation has them."""
    assert written("llama-2", [SYSTEM, *TURNS]) == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nOne? [/INST] Yes. </s><s>[INST] Two? [/INST]"
    )
    assert written("alpaca", [SYSTEM, *TURNS]) == (
        "Be brief.\n\n### Instruction:\nOne?\n\n### Response:\nYes.</s>\n\n### Instruction:\nTwo?\n\n### Response:\n"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ["llama.cpp", "llama-cpp-python"])
def test_every_engine_writes_the_same(name: str, engine: str) -> None:
    for messages in ([SYSTEM, *TURNS], TURNS, TURNS[:2]):
        assert written(name, messages, engine=engine) == written(name, messages)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_tools_calls_and_results_are_in_the_prompt(name: str) -> None:
    text = written(name, [SYSTEM, *ROUND], tools=[TOOL])
    assert text.count("Be brief.") == 1
    assert "found" in text
    assert '{"path": "a<b>"}' in text
    if name != "deepseek":  # which has no place for tools in its own template
        assert '"name": "read"' in text.replace('"parameters": {"path"', "").replace("    ", "")
    for engine in ("llama.cpp", "llama-cpp-python"):
        assert written(name, [SYSTEM, *ROUND], tools=[TOOL], engine=engine) == text


def test_each_broken_one_has_its_fault() -> None:
    right = written("chatml", [SYSTEM, *TURNS])
    assert "<|im_end|>" not in written("broken/no-end-of-turn", [SYSTEM, *TURNS])
    assert "<|im_start|>bot\n" in written("broken/wrong-role", [SYSTEM, *TURNS])
    assert written("broken/no-generation-prompt", [SYSTEM, *TURNS]) == right.removesuffix("<|im_start|>assistant\n")
    assert written("broken/doubled-bos", [SYSTEM, *TURNS]) == "<s><s>" + right
    assert "Be brief." not in written("broken/lost-system", [SYSTEM, *TURNS])


def test_every_template_is_described_with_a_link() -> None:
    readme = (next(iter(templates().values())).parent / "README.md").read_text("utf-8")
    for name in NAMES:
        stem = name.removeprefix("mistral")
        assert f"`{name}`" in readme or f"`{stem}`" in readme or name.startswith("broken/"), name
