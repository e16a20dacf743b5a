"""Where jinja2 raises and llama.cpp's engine does not: its characters have their origins all the same."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.stages import Rendered

USER = {"role": "user", "content": "Hi"}


def rendered(source: str, engine: str = "llama.cpp", **more: Any) -> Rendered:
    return render(Conversation.from_dict({"messages": [USER], **more}), Template(source), engine=engine)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for t in tools %}{{ t }}{% endfor %}{{ messages[0].content }}", "Hi"),
        ("{{ nothing.more.of.it }}{{ messages[0].content }}", "Hi"),
        ("{% set l = [] %}{% set _ = l.append('x') %}{{ l[0] }}{{ messages[0].content }}", "xHi"),
        ("{{ 'n' + 1 }}{{ messages[0].content }}", "n1Hi"),
        ("{{ messages | map(attribute='role') | tojson }}{{ messages[0].content }}", '["user"]Hi'),
    ],
)
def test_what_jinja2_would_raise_for_is_forgiven(source: str, text: str) -> None:
    assert rendered(source, "transformers").error is not None
    found = rendered(source)
    assert found.text == text
    assert not [span for span in found.spans if span.origin == "unknown"]
    last = found.spans[-1]
    assert (last.path, (found.text or "")[last.start : last.end]) == ("messages[0].content", "Hi")
    assert any("forgives" in note for note in found.notes)


def test_where_it_writes_another_text_nothing_is_claimed() -> None:
    found = rendered("{{ 'n' + [1, 'a', none] }}{{ messages[0].content }}")
    assert found.text is not None
    assert found.text.endswith("Hi")
    if "None" in found.text:  # as Python writes it: then both write the same
        return
    assert [span.origin for span in found.spans] == ["unknown"]


def test_the_engine_transformers_itself_forgives_nothing() -> None:
    for source in ("{% for t in tools %}{% endfor %}x", "{{ nothing.more }}x", "{{ [].append(1) }}x", "{{ 'n' + 1 }}x"):
        assert rendered(source, "transformers").text is None, source
