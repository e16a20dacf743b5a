"""llama-cpp-python's own formatter: which it takes for a file, and what of a request reaches it."""

from __future__ import annotations

from typing import Any

from llama_cpp import llama_chat_format as formats

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "S"}


def rendered(source: str, *messages: Any, **more: Any) -> Rendered:
    body = {"messages": list(messages) or [USER], **more}
    template = Template(source, (), (("eos_token", "</s>"), ("bos_token", "<s>")))
    return render(Conversation.from_dict(body), template, engine="llama-cpp-python", clock="2024-07-26")


def test_a_known_text_is_replaced_by_the_packages_own_format() -> None:
    found = rendered(formats.CHATML_CHAT_TEMPLATE, SYSTEM, USER)
    assert found.text == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert "'chatml'" in found.notes[0]
    assert found.notes[1] == "BOS is added to what is written here"


def test_any_other_template_is_rendered_and_bos_is_its_own_affair() -> None:
    found = rendered("{{ bos_token }}{{ messages[0].content }}{{ strftime_now(' %Y') }}")
    assert found.text == "<s>Hi 2024"
    assert "BOS is not added: the template has to write it" in found.notes
    assert [span.path for span in found.spans[:2]] == ["bos_token", "messages[0].content"]


def test_without_a_template_it_falls_back_to_llama_2() -> None:
    found = rendered("", SYSTEM, USER)
    assert found.text == "[INST] <<SYS>>\nS\n<</SYS>> Hi [/INST]"
    assert "'llama-2'" in found.notes[0]


def test_template_arguments_never_arrive() -> None:
    source = "{{ enable_thinking is defined }}{{ add_generation_prompt }}"
    found = rendered(source, add_generation_prompt=False, chat_template_kwargs={"enable_thinking": False})
    assert found.text == "FalseTrue"
    assert len(found.rewrites) == 2


def test_null_content_is_written_as_none() -> None:
    assert rendered("{{ messages[0].content }}", {"role": "user", "content": None}).text == "None"


def test_an_error_has_its_line() -> None:
    found = rendered("a\n{{ raise_exception('no') }}")
    assert found.error is not None
    assert (found.error.type, found.error.message, found.error.line) == ("ValueError", "no", 2)
