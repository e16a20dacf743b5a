"""Each message field replaced by another text of the same shape: exactly its spans change, or the template branches."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.engines.conversations import CONVERSATIONS
from tests.engines.replacement import judged, outcomes
from tests.engines.templates import SPECIAL, TEMPLATES
from workbench.engines import Template
from workbench.stages import Rendered, Span

CASES = (
    "multi-turn",
    "tool-round-trip",
    "two-calls",
    "typed-content",
    "reasoning",
    "documents",
    "odd-fields",
    "quotes-and-tags",
)
TALLY: Counter[str] = Counter()
BRANCHES: dict[str, set[str]] = {}  # by template, the fields on which it branches


@pytest.mark.parametrize("name", TEMPLATES)
def test_exactly_the_fields_spans_change(name: str) -> None:
    template = Template(TEMPLATES[name], special_tokens=SPECIAL)
    for case in CASES:
        for outcome in outcomes(template, CONVERSATIONS[case]):
            TALLY[outcome.verdict] += 1
            if outcome.verdict == "branches":
                BRANCHES.setdefault(name, set()).add(outcome.path.rsplit(".", 1)[-1])
            assert outcome.verdict != "false", f"{case}: {outcome}"


def test_what_was_found_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs last: each template that branches on a field, shown also where all is well."""
    with capsys.disabled():
        print(f"\nfields replaced by others of the same shape: {dict(TALLY)}; templates that branch on a field:")
        for name, fields in sorted(BRANCHES.items()):
            print(f"  {name}: {', '.join(sorted(fields))}")
    assert TALLY["exact"] > 100
    assert TALLY["unknown"] <= 0.02 * TALLY.total()


def test_the_judge_finds_a_false_span() -> None:
    true = (Span(0, 2, "template"), Span(2, 5, "message", "messages[0].content", 1, 1, True, 0))
    false = (Span(0, 3, "template"), Span(3, 5, "message", "messages[0].content", 1, 1, True, 1))
    late = (Span(0, 2, "template"), Span(2, 5, "message", "messages[0].content", 1, 1, True, 1))

    def verdict(spans: tuple[Span, ...]) -> str:
        first = Rendered("x", "", "> abc", spans=spans)
        return judged(first, Rendered("x", "", "> bcd", spans=spans), "messages[0].content", "bcd").verdict

    assert [verdict(true), verdict(false), verdict(late)] == ["exact", "false", "false"]
