"""Tokens that are made while origins are still followed: the same values, the same errors."""

from __future__ import annotations

import pytest

from workbench import Setup, trace
from workbench.data import toolsmith
from workbench.runtime.host import Host

HELLO = [{"role": "user", "content": "Hello there"}]
PAIRS = "{% if x is defined %}y{% endif %}" * 200 + "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}"


@pytest.mark.model
def test_they_are_those_of_the_text() -> None:
    setup = Setup(model=str(toolsmith())).replace(**{"template.source": f"text:{PAIRS}"})
    with Host(setup) as host:
        found = trace(HELLO, setup, until="tokens", host=host)
        assert found.tokens == host.tokenize("<|user|>Hello there")
        again = trace(HELLO, setup, until="tokens", host=host, previous=found)
        assert again.reused == ("rendered", "tokens")
        moved = setup.replace(**{"template.source": f"text:A {PAIRS}", "tokenizer.parse_special": False})
        other = trace(HELLO, moved, until="tokens", host=host, previous=found)
        assert other.rendered is not None
        assert other.tokens == host.tokenize(other.rendered.text or "")
        assert other.rendered.text == "A <|user|>Hello there"
        assert set(other.elapsed_ms.value()) == {"rendered", "tokens"}


@pytest.mark.model
def test_a_prompt_that_cannot_be_tokenised_stops_the_chain_at_its_tokens() -> None:
    setup = Setup(model=str(toolsmith())).replace(**{"template.source": "text:{{ messages[0].content }}"})
    found = trace([{"role": "user", "content": "a\ud800"}], setup, until="tokens")
    assert found.rendered is not None
    assert found.rendered.text == "a\ud800"
    assert found.stopped is not None
    assert found.stopped.stage == "tokens"
