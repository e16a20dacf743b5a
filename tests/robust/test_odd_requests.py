"""Requests of any shape: each is a result, or one sentence; what came of it can be printed, saved and read back."""

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.cli.main import main
from workbench.cli.output import print_json, print_lines
from workbench.cli.trace import describe
from workbench.conversation import SAMPLING_FIELDS, TEMPLATE_FIELDS, TRANSPORT_FIELDS, Conversation
from workbench.data import toolsmith
from workbench.errors import WorkbenchError
from workbench.nesting import read_json, write_json
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.trace import Trace, trace

pytestmark = pytest.mark.model

USER = {"role": "user", "content": "Hi"}
# Where an odd value goes: a field of the body, of a message, of a call, of a tool.
PLACES: dict[str, Any] = {
    **{name: lambda odd, name=name: {"messages": [USER], name: odd} for name in (*TEMPLATE_FIELDS, *SAMPLING_FIELDS)},
    **{name: lambda odd, name=name: {"messages": [USER], name: odd} for name in (*TRANSPORT_FIELDS, "response_format")},
    **{
        f"message.{name}": lambda odd, name=name: {"messages": [USER, {"role": "assistant", "content": "a", name: odd}]}
        for name in ("role", "content", "tool_calls", "name", "tool_call_id", "reasoning_content")
    },
    "message": lambda odd: {"messages": [USER, odd]},
    "part": lambda odd: {"messages": [{"role": "user", "content": [{"type": "text", "text": odd}]}]},
    "call": lambda odd: {"messages": [USER, {"role": "assistant", "tool_calls": [odd]}]},
    "function": lambda odd: {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": odd}]}]},
    "arguments": lambda odd: {
        "messages": [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": odd}}]}]
    },
    "tool": lambda odd: {"messages": [USER], "tools": [odd]},
    "parameters": lambda odd: {
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": odd}}],
    },
}


def nested(levels, inside=1):
    for level in range(levels):
        inside = [inside] if level % 2 else {"a": inside}
    return inside


numbers = st.sampled_from([-1, 0, 0.5, 2**31, 2**64, 10**400, 1e308]) | st.integers() | st.floats()
texts = st.sampled_from(["", "x", "\ud800", "\0", "root ::= ", "\x1b[2J", "<|end|>"]) | st.text(max_size=6)
leaves = st.none() | st.booleans() | numbers | texts
odd_values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3)) | st.just(
    nested(60)
)


@pytest.fixture(scope="module")
def host():
    with Host(Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1}})) as running:
        yield running


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(list(PLACES)), odd=odd_values)
def test_any_value_in_any_place(host, tmp_path, place, odd):
    text = json.dumps(PLACES[place](odd))
    until = "parsed" if place in SAMPLING_FIELDS else "tokens"
    try:
        request = Conversation.from_json(text)
        if place not in ("max_tokens", "max_completion_tokens"):
            request = request.replace(max_tokens=2)
        found = trace(request, host.setup, host=host, until=until)
    except WorkbenchError as error:
        found = str(error)
    if isinstance(found, str):
        assert len(found.splitlines()) == 1
        return
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_json(found.to_dict())
        print_lines(describe(found))
    assert json.loads(out.getvalue().splitlines()[0])["conversation"] == json.loads(request.to_json())
    assert Trace.load(found.save(tmp_path / "kept")) == found


@pytest.mark.parametrize("place", ["parameters", "arguments", "response_format"])
def test_what_is_nested_as_deeply_as_a_request_may_be(host, tmp_path, place):
    request = Conversation.from_json(write_json(PLACES[place](nested(900))))
    found = trace(request, host.setup, host=host, until="tokens")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_json(found.to_dict())
    assert read_json(out.getvalue())["conversation"] == request.data
    assert Trace.load(found.save(tmp_path / "kept")) == found


def printed(tmp_path, text, *arguments):
    path = tmp_path / "request.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["render", str(path), *arguments, "--json"])
    return code, out.getvalue(), said.getvalue()


REFUSED = {
    "a number that is none": '"temperature": NaN',
    "an infinity": '"stop": [1e999]',
    "a number of many digits": f'"seed": {"9" * 5000}',
    "depth": f'"tools": {"[" * 10_000}1{"]" * 10_000}',
    "bytes that are no text": '"a": "\ud800"',
    "tools that are no list": '"tools": {"a": 1}',
    "arguments that are no object": '"chat_template_kwargs": [1]',
    "no messages": '"messages": {}',
    "a message that is none": '"messages": [1]',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_one_line(tmp_path, text):
    text = f'{{"messages": [{{"role": "user", "content": "Hi"}}], {text}}}'
    code, out, said = printed(tmp_path, text, "--template", "chatml")
    assert (code, out) == (2, "")
    assert len(said.splitlines()) == 1
    assert len(said) < 1000
