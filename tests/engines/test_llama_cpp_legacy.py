"""Formats built into llama.cpp: which one a template leads to, by what, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.legacy_worker import Library, pieces_of, smallest
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}
CHATML = "{% for m in messages %}\n{{ '<|im_start|>' + m.role }}{% endfor %}"
ZEPHYR = "{% if x %}\n{{ '<|user|>\\n' + eos_token }}\n{{ '<|assistant|>' }}{% endif %}"


def rendered(source: str, *messages: Any, **more: Any) -> Rendered:
    body = {"messages": list(messages) or [USER], **more}
    return render(Conversation.from_dict(body), Template(source), engine="llama.cpp-legacy")


def test_the_pattern_that_decides_is_named_with_its_line() -> None:
    found = rendered(CHATML)
    assert found.text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert "'chatml'" in found.notes[0]
    assert "'<|im_start|>' in line 2" in found.notes[1]


def test_zephyr_without_its_end_token_is_taken_for_another() -> None:
    found = rendered(ZEPHYR, {"role": "system", "content": "S"}, USER)
    assert found.text == "<|system|>\nS<|user|>\nHi<|assistant|>"
    assert "'glmedge'" in found.notes[0]
    assert all(part in found.notes[1] for part in ("'<|user|>' in line 2", "'<|assistant|>' in line 3"))


def test_a_template_without_a_pattern_is_refused() -> None:
    found = rendered("{{ messages[0].content }}")
    assert found.error is not None
    assert found.error.type == "Unsupported"


def test_without_a_template_chatml_is_written() -> None:
    assert rendered("").text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_what_is_left_out_is_told() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    typed = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    found = rendered(CHATML, typed, call, tools=[{"type": "function"}], chat_template_kwargs={"x": 1})
    assert "a\nb<|im_end|>" in found.text
    told = " ".join(found.rewrites)
    for path in (
        "messages[0].content",
        "messages[1].content",
        "messages[1].tool_calls",
        "tools:",
        "chat_template_kwargs:",
    ):
        assert path in told


def test_contents_are_found_in_the_text() -> None:
    found = rendered(CHATML, USER, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": ""})
    marked = [(found.text[s.start : s.end], s.path) for s in found.spans if s.origin == "message"]
    assert marked == [
        ("user", "messages[0].role"),
        ("Hi", "messages[0].content"),
        ("assistant", "messages[1].role"),
        ("Hi", "messages[1].content"),
        ("user", "messages[2].role"),
    ]
    llama = rendered("{{ '[INST] <<SYS>>' }}", USER)  # which writes no roles
    assert [s.path for s in llama.spans if s.origin == "message"] == ["messages[0].content"]


def test_a_joined_text_claims_no_place_in_the_request() -> None:
    typed = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    spans = [s for s in rendered(CHATML, typed).spans if s.path == "messages[0].content"]
    assert [(s.verbatim, s.offset) for s in spans] == [(False, None)]


@pytest.mark.parametrize("odd", [{"role": None}, {"content": {"a": 1}}, {"content": "a\ud800"}])
def test_what_llama_cpp_refuses_is_a_result(odd: dict[str, Any]) -> None:
    found = rendered(CHATML, {**USER, **odd})
    assert found.error is not None
    assert found.error.type == "RequestError"


@pytest.mark.parametrize("name", Library().names)
def test_every_format_writes_the_contents(name: str) -> None:
    text = Library().apply(name, [("user", "first words"), ("assistant", "second"), ("user", "third")], ask=True)
    assert text is not None
    assert all(word in text for word in ("first words", "second", "third"))


def test_the_smallest_part_that_holds() -> None:
    text = smallest("aaXbbbbYcc", lambda part: "X" in part and "Y" in part)
    assert pieces_of(text) == [(2, "X"), (7, "Y")]
