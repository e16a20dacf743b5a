"""Kinds of text: calls, code and prose in prompts and answers, broken ones too; every token has one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.compare.text_kinds import TEXT_KINDS, text_kinds
from workbench.data import requests, toolsmith
from workbench.stages import Tokens
from workbench.trace import trace

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def letters(text, size=1):
    """Tokens of `size` bytes each."""
    data = text.encode() if isinstance(text, str) else text
    pieces = tuple(data[i : i + size] for i in range(0, len(data), size))
    nowhere = np.full((len(pieces), 2), -1)
    return Tokens(np.zeros(len(pieces)), pieces, ("normal",) * len(pieces), nowhere, nowhere)


def text_of(tokens, kinds, kind):
    return b"".join(piece for piece, one in zip(tokens.pieces, kinds, strict=True) if one == kind).decode()


@pytest.mark.parametrize("size", [1, 3])
def test_a_call_and_a_fence_are_found_to_the_byte(size):
    text = f"Grüße 🙂 {CALL} and\n```python\nx = 1\n```\nbye"
    tokens = letters(text, size)
    kinds = text_kinds(tokens)
    exact = {"tool call": CALL, "code": "```python\nx = 1\n```"}
    for kind, wanted in exact.items():
        found = text_of(tokens, kinds, kind)
        assert wanted in found
        assert len(found.encode()) <= len(wanted.encode()) + 2 * size
    assert "bye" in text_of(tokens, kinds, "prose")


def test_a_broken_call_counts_as_one():
    tokens = letters('ok <tool_call>\n{"name": "f", "argum')
    kinds = text_kinds(tokens, n_prompt=0)
    assert text_of(tokens, kinds, "tool call").startswith("<tool_call>")
    assert text_of(tokens, kinds, "prose") == "ok "


@given(st.binary(max_size=60), st.integers(0, 60))
def test_every_token_of_anything_has_a_kind(data, n_prompt):
    tokens = letters(data)
    kinds = text_kinds(tokens, n_prompt=min(n_prompt, len(tokens)))
    assert len(kinds) == len(tokens)
    assert set(kinds) <= set(TEXT_KINDS)


@pytest.mark.model
def test_a_prompt_with_tools_calls_and_results():
    found = trace(requests()["tool-round-trip"], toolsmith(), until="tokens")
    kinds = text_kinds(found.tokens, found.rendered)
    tools, calls, prose = (text_of(found.tokens, kinds, kind) for kind in ("tools", "tool call", "prose"))
    assert '"description": "Read a file of the project"' in tools
    assert '"arguments": {"command": "pytest --collect-only -q"' in calls
    assert "How many tests are there?" in prose
    assert "<|turn|>" not in tools + calls + prose
