"""llama.cpp's own template engine: what it writes, what it changed before, where its errors and characters are from."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engines.conversations import CONVERSATIONS
from tests.engines.templates import OWN, SPECIAL
from workbench.conversation import Conversation
from workbench.engines import Template, llama_cpp_worker, render
from workbench.engines.limits import Reply
from workbench.engines.llama_cpp import all_told
from workbench.engines.llama_cpp_worker import settable_clock
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}


def rendered(source: str, *messages: Any, clock: str | None = "2024-07-26T14:30:05", **more: Any) -> Rendered:
    body = {"messages": list(messages) or [USER], **more}
    return render(Conversation.from_dict(body), Template(source, (), SPECIAL), engine="llama.cpp", clock=clock)


def test_it_says_which_build_it_is() -> None:
    found = rendered("{{ messages[0].content }}{{ bos_token }}")
    assert found.text == "Hi<s>"
    assert found.version.startswith("llama.cpp b")
    assert "wasmtime" in found.version


def test_the_clock_is_an_input() -> None:
    assert rendered("{{ strftime_now('%Y-%m-%d %H:%M:%S') }}").text == "2024-07-26 14:30:05"
    other = rendered("{{ strftime_now('%d %b %Y') }}", clock="1999-12-31")
    assert other.text == "31 Dec 1999"
    assert any("1999-12-31" in note for note in other.notes)


def test_a_module_without_the_one_constant_keeps_its_own_clock() -> None:
    assert settable_clock(b"no such constant") == (b"no such constant", False)


def test_what_it_changed_is_told() -> None:
    found = rendered(
        "{{ messages[0].content }}{{ enable_thinking }}{{ tools is defined }}",
        {"role": "user", "content": None},
        tools=[],
    )
    assert found.text == "TrueFalse"
    assert found.rewrites == (
        'messages[0].content: null became ""',
        "tools: [] is not handed on",
        "enable_thinking: not given, true is added",
    )
    typed = [{"type": "text", "text": "ab"}, {"type": "image_url"}, {"type": "text", "text": "cd"}]
    found = rendered("A {{ messages[0].content }}", {"role": "user", "content": typed})
    assert found.text == "A ab\ncd"
    assert found.rewrites[0].endswith('became "ab\\ncd"')
    assert rendered("{{ messages[0].content }}").rewrites == ()


def test_characters_of_joined_parts_are_from_their_parts() -> None:
    typed = [{"type": "text", "text": "ab"}, {"type": "text", "text": "cd"}]
    found = rendered("A {{ messages[0].content }}", {"role": "user", "content": typed})
    paths = [(found.text[span.start : span.end], span.origin, span.path) for span in found.spans]
    assert paths == [
        ("A ", "template", None),
        ("ab", "message", "messages[0].content[0].text"),
        ("\n", "default", "messages[0].content"),
        ("cd", "message", "messages[0].content[1].text"),
    ]


def test_a_default_is_not_taken_for_the_users() -> None:
    found = rendered("{{ enable_thinking }}")
    assert [(span.origin, span.path) for span in found.spans] == [("default", "enable_thinking")]
    found = rendered("{{ enable_thinking }}", chat_template_kwargs={"enable_thinking": False})
    assert [(span.origin, span.path) for span in found.spans] == [("message", "chat_template_kwargs.enable_thinking")]


def test_where_it_writes_another_text_that_part_is_unknown() -> None:
    found = rendered("{{ messages[0].content }} {{ 1732250000.123456 | tojson }} {{ messages[0].role }}")
    assert found.text == "Hi 1.73225e+09 user"
    assert [span.origin for span in found.spans if "e+09" in found.text[span.start : span.end]] == ["unknown"]
    assert found.spans[0].path == "messages[0].content"
    assert found.spans[-1].path == "messages[0].role"


def test_the_template_for_tools_is_taken_only_with_tools() -> None:
    template = Template("plain", (("tool_use", "with tools"),))
    ask = {"messages": [USER]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert render(Conversation.from_dict(ask), template, engine="llama.cpp").text == "plain"
    assert render(Conversation.from_dict(ask | {"tools": []}), template, engine="llama.cpp").text == "plain"
    assert render(Conversation.from_dict(ask | {"tools": [tool]}), template, engine="llama.cpp").text == "with tools"


def test_a_file_without_a_template_is_chatml() -> None:
    found = render(Conversation.from_dict({"messages": [USER]}), Template(""), engine="llama.cpp")
    assert found.text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert "takes ChatML" in found.notes[0]


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        ("a\n{{ 1 }", "ParserError", 2),
        ("a\n\n{% for x in y %}", "ParserError", 3),
        ("x\n {{ a | nothing }}", "RuntimeError", 2),
        ("x\n\n {{ nothing(3) }}", "RuntimeError", 3),
        ("x\n{{ raise_exception('no') }}", "TemplateError", 2),
        ("{{ 'a", "LexerError", 1),
    ],
)
def test_errors_have_their_place(source: str, kind: str, line: int) -> None:
    found = rendered(source)
    assert found.text is None
    assert found.error is not None
    assert (found.error.type, found.error.line) == (kind, line)
    assert found.error.message
    assert rendered("ok").text == "ok"


def test_a_request_that_is_no_unicode_is_refused() -> None:
    found = rendered("{{ messages[0].content }}", {"role": "user", "content": "\ud800"})
    assert found.error is not None
    assert found.error.type == "RequestError"


@pytest.mark.parametrize("template", sorted(OWN))
def test_spans_tile_the_text_whatever_it_is(template: str) -> None:
    """Also where the engine writes another text than transformers, and where it fails."""
    written = 0
    for body in CONVERSATIONS.values():
        found = render(Conversation.from_dict(body), Template(OWN[template], (), SPECIAL), engine="llama.cpp")
        assert (found.text is None) == (found.error is not None)
        at = 0
        for span in found.spans:
            assert span.start == at
            at = span.end
        assert at == len(found.text or "")
        written += found.text is not None
    assert written or template in REFUSED


# Templates of ours that use something that llama.cpp's engine does not know.
REFUSED = {
    "own: carriage returns",  # raw
    "own: escapes",  # \\u in a text
    "own: everything as JSON",  # tojson of an undefined variable
    "own: everything as Python",  # a tuple of one
    "own: filters that lose",  # urlencode
    "own: loop controls and recursion",  # recursive
    "own: safe text",  # escape
    "own: values of every kind",  # //
}


def test_the_text_is_sent_before_it_is_asked_what_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes as long again must not cost the text, where both together take longer than a render may."""
    sent: list[bytes] = []
    before: list[int] = []
    answers = llama_cpp_worker.Answers()
    monkeypatch.setattr(answers, "seen", lambda *_: before.append(len(sent)) or {"rewrites": ["x"]})
    options = {"template": "{{ messages[0].content }}", "special": {}, "clock": "2024-07-26"}
    answers(options, b'{"messages": [{"role": "user", "content": "Hi"}]}', sent.append)
    assert before == [2]
    assert sent[1:] == [b"Hi", b'{"rewrites": ["x"]}']


def test_a_text_whose_changes_could_not_be_told_in_time_says_so() -> None:
    notes: list[str] = []
    facts = all_told(Reply("Hi", {"caps": {}}, {}, "stopped after 2 s"), notes)
    assert (facts.text, notes) == ("Hi", ["not evaluated: what the engine changed in the request"])
    assert all_told(Reply("Hi", {"caps": {}}, {"seen": 1}), notes).plain == {"caps": {}, "seen": 1}
    assert len(notes) == 1
