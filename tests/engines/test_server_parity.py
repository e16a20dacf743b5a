"""llama.cpp's engine against llama-server on published templates: equal wherever nothing was rewritten or refused."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from tests.engines.conversations import CONVERSATIONS
from tests.engines.templates import SPECIAL, published
from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.stages import Rendered

pytestmark = [pytest.mark.model, pytest.mark.slow]

# What differs although both tell the same rewrites: the server writes the generation prompt after a tool's result
# by code of its own for this template (`common_chat_params_init_gemma4`).
EXCEPTIONS = {("google-gemma-4-31B-it", "two-calls")}


def verdict(own: Rendered, server: Rendered) -> str:
    if own.text is not None and own.text == server.text:
        return "equal"
    if own.text is None and server.text is None:
        return "both refuse"
    if server.text is None:
        return "the server refuses"
    if own.text is None:
        return "the server rewrites so that it renders" if server.rewrites else "unexplained"
    return "rewritten differently" if own.rewrites != server.rewrites else "unexplained"


def on_one_day(conversation: Conversation, template: Template) -> tuple[Rendered, Rendered]:
    """Both engines' renders at today's date: `strftime_now` of the server goes by its own clock."""
    while True:
        today = date.today()  # noqa: DTZ011  the server goes by local time
        engines = ("llama.cpp", "llama-server")
        own, server = (render(conversation, template, engine=e, clock=f"{today}", track=False) for e in engines)
        if date.today() == today:  # noqa: DTZ011
            return own, server


@pytest.mark.parametrize("name", sorted(published()))
def test_equal_wherever_nothing_was_rewritten(name: str) -> None:
    template = Template(published()[name], (), SPECIAL)
    found: Counter[str] = Counter()
    unexplained = set()
    for case, body in CONVERSATIONS.items():
        own, server = on_one_day(Conversation.from_dict(body), template)
        result = verdict(own, server)
        found[result] += 1
        if result == "unexplained" and (name, case) not in EXCEPTIONS:
            unexplained.add(case)
    print(f"{name}: {dict(found)}")
    assert not unexplained
    assert found["equal"] + found["rewritten differently"] >= 10
