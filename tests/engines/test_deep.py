"""Requests that are nested deeply: every engine gives a result or a sentence, and none costs the others theirs."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from workbench import engines
from workbench.cli.main import main
from workbench.conversation import Conversation
from workbench.engines import ENGINES, Template, render
from workbench.errors import BadRequest, CannotRun
from workbench.nesting import MOST_LEVELS
from workbench.renders import render_all
from workbench.views import html_of

USER = {"role": "user", "content": "Hi"}
PLAIN = Template("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{{ k }}")
DUMPS = Template(PLAIN.text + "{% if tools %}{{ tools | tojson }}{% endif %}{{ messages | tojson }}{{ documents }}")
NAMES = [engine.name for engine in ENGINES]


def nested(depth: int) -> Any:
    """Objects and lists in turn, `depth` of them; built without a function that calls itself."""
    value: Any = "inside"
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


def called(arguments: Any) -> list[dict[str, Any]]:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "x"}]


def bodies(depth: int) -> dict[str, dict[str, Any]]:
    deep = nested(depth)
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"a": deep}}}
    return {
        "tools": {"messages": [USER], "tools": [tool]},
        "arguments": {"messages": called({"a": deep})},
        "content": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "more": deep}]}]},
        "documents": {"messages": [USER], "documents": [{"title": "t", "text": deep}]},
        "kwargs": {"messages": [USER], "chat_template_kwargs": {"k": deep}},
    }


def texts(depth: int) -> dict[str, dict[str, Any]]:
    return {"arguments": {"messages": called('{"a":' + "[" * depth + "]" * depth + "}")}}


@pytest.mark.parametrize("where", list(bodies(1)))
@pytest.mark.parametrize("depth", [100, 900])
def test_every_engine_gives_a_result(depth: int, where: str) -> None:
    conversation = Conversation.from_dict(bodies(depth)[where])
    for template in (PLAIN, DUMPS):
        found = render_all(conversation, template, clock="2024-01-01")
        assert [one.engine for one in found.renders] == NAMES
        assert found.absent == ()
        for one in found.renders:
            assert one.text is not None or one.error is not None
            assert one.error is None or one.error.type != "Fault", one.error
        assert found["transformers"].text
        assert len(json.dumps(found.to_dict())) > depth  # and what a script gets holds it
        assert "Hi" in html_of(found)
    assert "Hi" in html_of(conversation)
    assert found.rewritten == () or found.rewritten[0].differences


def test_llama_cpps_engines_render_what_they_do_at_home() -> None:
    for name in ("llama.cpp", "llama-server"):
        found = render(Conversation.from_dict(bodies(900)["tools"]), PLAIN, engine=name)
        assert found.text == "<|user|>Hi", (name, found.error)


@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_a_request_that_is_too_deep_is_refused_in_a_sentence(depth: int) -> None:
    for body in bodies(depth).values():
        with pytest.raises(BadRequest, match=f"nested too deeply; accepted are {MOST_LEVELS} levels"):
            Conversation.from_dict(body)
    with pytest.raises(BadRequest, match="nested too deeply"):
        Conversation.from_json('{"messages": [{"role": "user", "content": ' + "[" * depth + "]" * depth + "}]}")


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
def test_json_in_a_text_may_be_as_deep_as_it_likes(depth: int) -> None:
    conversation = Conversation.from_dict(texts(depth)["arguments"])
    found = render_all(conversation, PLAIN, clock="2024-01-01")
    assert {one.engine for one in found.renders} | {one.engine for one in found.absent} == set(NAMES)
    assert not [one.error for one in found.renders if one.error and one.error.type in ("Fault", "Crash")]
    assert found["transformers"].text == "<|user|>Hi<|assistant|><|tool|>x"
    if depth > MOST_LEVELS:
        with pytest.raises(CannotRun, match=r"messages\[1\].tool_calls\[0\].function.arguments .* too deeply"):
            render(conversation, PLAIN, engine="ollama")


def test_how_much_of_the_stack_is_used_up_does_not_matter() -> None:
    body = bodies(900)["tools"]

    def below(frames: int) -> str | None:
        if frames:
            return below(frames - 1)
        return render(Conversation.from_dict(body), PLAIN, engine="llama-server").text

    assert below(sys.getrecursionlimit() // 2) == "<|user|>Hi"


def test_the_command_prints_it(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "request.json"
    for where, body in bodies(900).items():
        file.write_text(Conversation.from_dict(body).body.text)
        code = main(["render", str(file), "--template", "chatml", "--engine", "all", "--json"])
        assert code in (0, 1), where
        assert '"schema_version": 1' in capsys.readouterr().out


class Broken:
    """An engine with a fault of our own."""

    name = "transformers"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "1"

    def render(self, _job: Any, *, cancel: Any = None) -> Any:
        raise IndexError(cancel)


def test_a_fault_of_our_own_is_that_engines_result_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINES", (Broken(), *ENGINES[1:]))
    found = render_all(Conversation.from_dict({"messages": [USER]}), PLAIN, clock="2024-01-01")
    assert [one.engine for one in found.renders] == NAMES
    error = found["transformers"].error
    assert error is not None
    assert error.type == "Fault"
    assert "a fault of the workbench, not of the template or the request: IndexError" in error.message
    assert found["llama.cpp"].text == "<|user|>Hi"


def test_a_fault_in_a_rendering_process_is_told_and_the_process_goes_on() -> None:
    from workbench.engines import serving

    sent: list[bytes] = []
    before = [b"{}", b"text"]

    def answers(_options: Any, body: bytes, send: Any) -> None:
        for frame in before[: int(body)]:
            send(frame)
        raise KeyError("ours")

    serving._answered(answers, {}, b"0", sent.append)
    facts = json.loads(sent[0])
    assert (facts["has_text"], facts["error"]["type"]) == (False, "Fault")
    assert len(sent) == 3
    sent.clear()
    serving._answered(answers, {}, b"2", sent.append)  # the text had been sent: it stays
    assert sent[:2] == before
    assert "KeyError" in json.loads(sent[2])["note"]
