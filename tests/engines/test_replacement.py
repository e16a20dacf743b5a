"""Each message field replaced by another text of the same shape: exactly its spans change, or the template branches."""

from __future__ import annotations

from collections import Counter

import pytest
from ggufdoctor import ollama as registry

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
# Those on which jinja2 raises and llama.cpp's engine does not.
FORGIVEN = (
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "fireworks-ai-llama-3-firefunction-v2",
    "Kimi-K2-Instruct",
    "llama-cpp-deepseek-r1",
    "meetkai-functionary-medium-v3.2",
)
BORROWED = sorted(TEMPLATES)[::5]
TALLY: Counter[str] = Counter()
pytestmark = pytest.mark.slow
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


@pytest.mark.parametrize(
    "engine", ["llama.cpp", pytest.param("llama-server", marks=pytest.mark.model), "llama-cpp-python", "ollama"]
)
def test_engines_that_borrow_their_origins_claim_none_that_is_false(engine: str) -> None:
    """On what these engines rewrite too: null and typed content, calls, thinking defaults."""
    found: Counter[str] = Counter()
    for name in BORROWED:
        template = Template(TEMPLATES[name], special_tokens=SPECIAL)
        for case in ("tool-round-trip", "typed-content", "reasoning"):
            for outcome in outcomes(template, CONVERSATIONS[case], engine=engine):
                assert outcome.verdict != "false", f"{engine}, {name}, {case}: {outcome}"
                found[outcome.verdict] += 1
    assert found["exact"] > 40


@pytest.mark.parametrize("name", sorted(registry.load_goldens()["renders"]))
def test_go_templates_claim_none_that_is_false(name: str) -> None:
    found: Counter[str] = Counter()
    for case in CASES:
        for outcome in outcomes(Template(registry.template_source(name)), CONVERSATIONS[case], engine="ollama"):
            assert outcome.verdict != "false", f"{case}: {outcome}"
            found[outcome.verdict] += 1
    assert found["exact"] > 10


@pytest.mark.parametrize("name", FORGIVEN)
def test_a_run_that_forgives_claims_none_that_is_false(name: str) -> None:
    if name not in TEMPLATES:
        pytest.skip("published templates lie beside the project; a checkout alone has none")
    template = Template(TEMPLATES[name], special_tokens=SPECIAL)
    found: Counter[str] = Counter()
    for case in ("tool-round-trip", "reasoning"):
        for outcome in outcomes(template, CONVERSATIONS[case], engine="llama.cpp"):
            assert outcome.verdict != "false", f"{name}, {case}: {outcome}"
            found[outcome.verdict] += 1
    assert found["exact"] > 3


@pytest.mark.model
def test_an_answer_that_a_server_continues_is_exactly_its_message() -> None:
    found: Counter[str] = Counter()
    for name in BORROWED:
        template = Template(TEMPLATES[name], special_tokens=SPECIAL)
        body = CONVERSATIONS["no-generation-prompt"]
        for outcome in outcomes(template, body, "messages[2].content", engine="llama-server"):
            found[outcome.verdict] += 1
    assert found["exact"] == found.total()
    assert found["exact"] > 10


def test_the_judge_finds_a_false_span() -> None:
    true = (Span(0, 2, "template"), Span(2, 5, "message", "messages[0].content", 1, 1, True, 0))
    false = (Span(0, 3, "template"), Span(3, 5, "message", "messages[0].content", 1, 1, True, 1))
    late = (Span(0, 2, "template"), Span(2, 5, "message", "messages[0].content", 1, 1, True, 1))

    def verdict(spans: tuple[Span, ...]) -> str:
        first = Rendered("x", "", "> abc", spans=spans)
        return judged(first, Rendered("x", "", "> bcd", spans=spans), "messages[0].content", "bcd").verdict

    assert [verdict(true), verdict(false), verdict(late)] == ["exact", "false", "false"]
