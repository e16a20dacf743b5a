"""How much of the prompts that published templates write has an unknown origin, for each engine: under 1 %."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.engines.conversations import CONVERSATIONS
from tests.engines.templates import SPECIAL, published
from workbench.conversation import Conversation
from workbench.engines import Template, render

# Per cent of all characters that may be unknown; the test prints what it counted.
MOST = {
    "transformers": 0.0,
    "llama.cpp": 1.0,
    "llama.cpp-legacy": 1.0,
    "llama-cpp-python": 1.0,
    "llama-server": 1.0,
    "ollama": 1.0,
}
STEP = 16  # each template meets one in sixteen of the conversations, each template others


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine",
    [pytest.param(engine, marks=[pytest.mark.model] if engine == "llama-server" else []) for engine in MOST],
)
def test_hardly_anything_is_unknown(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not published():
        pytest.skip("published templates lie beside the project; a checkout alone has none")
    found = {name: counted(engine, name, index) for index, name in enumerate(sorted(published()))}
    total = sum(found.values(), Counter())
    with capsys.disabled():
        print(f"\n{engine}: {share(total):.2f} % of {total['all']:,} characters unknown; over 1 %:")
        print(*(f"  {name}: {share(count):.1f} %\n" for name, count in found.items() if share(count) > 1), sep="")
    assert total["all"] > 5_000  # the built-in formats refuse most templates
    assert share(total) <= MOST[engine]


def counted(engine: str, name: str, index: int) -> Counter[str]:
    """Characters of what a template writes for its conversations: `all`, and `unknown`."""
    template, count = Template(published()[name], special_tokens=SPECIAL), Counter({"all": 0, "unknown": 0})
    for body in [*CONVERSATIONS.values()][index % STEP :: STEP]:
        found = render(Conversation.from_dict(body), template, engine=engine, clock="2024-07-26T14:30:00")
        count["all"] += len(found.text or "")
        count["unknown"] += sum(span.end - span.start for span in found.spans if span.origin == "unknown")
    return count


def share(count: Counter[str]) -> float:
    """Per cent that is unknown."""
    return 100 * count["unknown"] / max(count["all"], 1)
