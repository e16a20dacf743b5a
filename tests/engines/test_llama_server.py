"""llama.cpp's own server: what it sends, what it rewrites, what it refuses; a running one by its address."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.data import toolsmith
from workbench.engines import Template, render, resolve_template
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.setup import Setup
from workbench.stages import Rendered, Span

pytestmark = pytest.mark.model

USER = {"role": "user", "content": "Hi"}
PLAIN = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}{% if add_generation_prompt %}G{% endif %}"


def rendered(source: str, *messages: Any, clock: str | None = None, **more: Any) -> Rendered:
    body = {"messages": list(messages) or [USER], **more}
    template = Template(source, (), (("bos_token", "<s>"),))
    return render(Conversation.from_dict(body), template, engine="llama-server", clock=clock)


def test_it_renders_and_does_not_guess_its_build() -> None:
    found = rendered(PLAIN + "{{ bos_token }}{{ eos_token }}")
    assert found.text == "[user:Hi]G<s>"
    assert "unknown build" in found.version
    assert found.spans[1].path == "messages[0].role"


def test_the_last_answer_is_continued() -> None:
    found = rendered(PLAIN, USER, {"role": "assistant", "content": "Sure,"})
    assert found.text == "[user:Hi]GSure,"
    assert found.rewrites == ('messages[1]: {"role": "assistant", "content": "Sure,"} is not handed on',)


def test_an_answer_that_is_continued_is_from_its_message() -> None:
    found = rendered(PLAIN, USER, {"role": "assistant", "content": "Sure,"})
    assert found.spans[-1] == Span(10, 15, "message", "messages[1].content", None, None, True, 0)
    assert not [span for span in found.spans if span.origin == "unknown"]


def test_a_template_that_asks_for_the_time_has_its_origins_at_the_servers_own() -> None:
    found = rendered("{{ strftime_now('%Y') }}" + PLAIN, clock="2001-01-01")
    assert found.text is not None
    assert not found.text.startswith("2001")
    assert not [span for span in found.spans if span.origin == "unknown"]


def test_a_bos_that_is_taken_off_costs_no_origin() -> None:
    template = Template("{{ bos_token + '[' }}" + PLAIN, (), (("bos_token", "<s>"),), adds_bos=True)
    found = render(Conversation.from_dict({"messages": [USER]}), template, engine="llama-server")
    assert (found.text or "")[:7] == "[[user:"
    assert found.spans[0] == Span(0, 1, "template", None, 1, 17, True, None)
    assert [span.path for span in found.spans if span.origin == "message"] == [
        "messages[0].role",
        "messages[0].content",
    ]


TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("engine", ["llama.cpp", "llama-server"])
def test_an_emptied_tool_use_is_no_template(engine: str) -> None:
    """The server that loads such a file writes what its default template writes; so do we, and say why."""
    path = altered_copy(read_header(str(toolsmith())), {"tokenizer.chat_template.tool_use": ""})
    setup = Setup(model=str(path))
    template = resolve_template(setup, read_header(str(path)))
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    found = render(Conversation.from_dict(body | {"tools": [TOOL]}), template, engine=engine)
    assert found.text == render(Conversation.from_dict(body), template, engine=engine).text
    assert "Hi" in (found.text or "")
    assert "the template named tool_use is empty: llama.cpp takes it for none" in found.notes
    assert [span.path for span in found.spans if span.origin == "message"] == [
        "messages[0].role",
        "messages[0].content",
    ]


def test_what_it_changed_is_told() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    source = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.arguments.a }}"
    source += "{% endfor %}{% endfor %}{{ enable_thinking }}"
    found = rendered(source, USER, {"role": "assistant", "content": None, "tool_calls": [call]}, USER)
    assert found.text is not None
    told = " ".join(found.rewrites)
    assert "messages[1].content" in told
    assert "enable_thinking: not given" in told


def test_what_it_changed_is_told_of_a_file_with_named_templates_too() -> None:
    setup = Setup(model=str(toolsmith()))
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}
    template = resolve_template(setup, read_header(setup.model))
    found = render(Conversation.from_dict(body), template, engine="llama-server")
    assert found.rewrites == ('messages[0].content: [{"type": "text", "text": "Hi"}] became "Hi"',)
    assert found.request is not None


def test_the_date_is_an_input() -> None:
    assert rendered("{{ date_string }}{{ messages[0].content }}", clock="2024-07-26").text == "26 Jul 2024Hi"
    other = rendered("{{ strftime_now('%Y') }}{{ messages[0].content }}", clock="2024-07-26")
    assert any(note.startswith("not evaluated: another time") for note in other.notes)


@pytest.mark.parametrize(
    ("source", "more", "kind"),
    [
        ("{{ 1", {}, "DoesNotStart"),
        ("{{ raise_exception('no') }}", {}, "DoesNotStart"),
        (PLAIN, {"chat_template_kwargs": {"enable_thinking": "false"}}, "HTTP 400"),
        (PLAIN, {"tools": [{}]}, "HTTP 500"),
    ],
)
def test_what_it_refuses_is_a_result(source: str, more: dict[str, Any], kind: str) -> None:
    found = rendered(source, **more)
    assert found.error is not None
    assert found.error.type == kind
    assert found.error.message
    assert rendered(PLAIN).text == "[user:Hi]G"


def test_the_models_own_template_and_tokens_are_used() -> None:
    setup = Setup(model=str(toolsmith()))
    template = resolve_template(setup, read_header(setup.model))
    found = render(Conversation.from_dict({"messages": [USER]}), template, engine="llama-server")
    assert found.text == render(
        Conversation.from_dict({"messages": [USER]}), template, engine="llama.cpp"
    ).text.removeprefix("<|begin|>")


SERVER = """
import sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.chat_template, p.use_jinja, p.n_ctx, p.verbosity = sys.argv[1], sys.argv[2], True, 256, -1
p.warmup = False
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def test_a_running_server_is_asked_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", SERVER, str(toolsmith()), PLAIN]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        monkeypatch.setenv("WORKBENCH_LLAMA_SERVER", running.stdout.readline().strip())
        found = rendered(PLAIN)
        assert found.text == "[user:Hi]G"
        assert not any("own template" in note for note in found.notes)
        other = rendered("{{ messages[0].content }}")
        assert other.text == "[user:Hi]G"
        assert any("own template" in note for note in other.notes)
    finally:
        running.kill()
        running.wait()
    gone = rendered(PLAIN)
    assert gone.error is not None
    assert gone.error.type == "NoAnswer"


def test_a_system_text_that_is_merged_keeps_its_origin() -> None:
    source = "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}</>{% endif %}{% endfor %}"
    system = {"role": "system", "content": "SYS"}
    found = rendered(source, system, USER, {"role": "assistant", "content": "A1"}, {"role": "user", "content": "Q2"})
    assert found.text == "<user>SYS\nHi</><assistant>A1</><user>Q2</>"
    assert found.rewrites == ("messages[0]: the system text was merged into messages[1]",)
    told = {
        found.text[span.start : span.end]: span.path for span in found.spans if span.path and "content" in span.path
    }
    assert told == {
        "SYS": "messages[0].content",
        "\n": "messages[0].content",
        "Hi": "messages[1].content",
        "A1": "messages[2].content",
        "Q2": "messages[3].content",
    }


def test_a_role_that_was_changed_is_not_called_verbatim() -> None:
    found = rendered(PLAIN, {"role": "developer", "content": "D"}, USER)
    assert found.text == "[system:D][user:Hi]G"
    assert [span.verbatim for span in found.spans if span.path == "messages[0].role"] == [False]


@pytest.mark.parametrize("address", ["localhost", "http://127.0.0.1:abc", "http://local host:80", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_a_result(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_LLAMA_SERVER", address)
    found = rendered(PLAIN)
    assert found.error is not None
    assert found.error.type == "NoAnswer"


def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engines.llama_server import sandbox

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    sandbox().close()
    assert rendered(PLAIN).text == "[user:Hi]G"
    sandbox().close()


@pytest.mark.model
def test_a_models_flags_and_overrides_reach_the_server(demo_model) -> None:
    """The demo model's weights are not loaded: its tokens, flags and template are all that rendering needs."""
    for metadata, expected in (({}, "<|im_start|>"), ({"tokenizer.ggml.add_bos_token": True}, "system")):
        setup = Setup(model=str(demo_model)).replace(metadata=metadata)
        template = resolve_template(setup, read_header(setup.model))
        found = render(Conversation.from_dict({"messages": [USER]}), template, engine="llama-server")
        assert (found.text or "").startswith(expected), found


def test_the_text_is_sent_before_the_server_is_asked_what_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engines import llama_server_worker

    sent: list[bytes] = []
    before: list[int] = []
    answers = llama_server_worker.Answers()
    monkeypatch.setattr(answers, "apply", lambda *_: ("Hi", {"caps": {}}))
    monkeypatch.setattr(answers, "seen", lambda *_: before.append(len(sent)) or {"rewrites": ["x"]})
    answers({"override": "", "model": "", "more": {}}, b'{"messages": []}', sent.append)
    assert before == [2]
    assert sent[1:] == [b"Hi", b'{"rewrites": ["x"]}']
