"""Views of samplers, chains and presets: text stays text, removed candidates are struck through, nothing is lost."""

import pytest

from tests.compare.test_sampling import CHAINS
from tests.sampling.test_table import STAGES, generation, step
from tests.views.test_views import TEXTS, Reader, is_plain
from workbench.compare.sampling import Answers, Chains, Redrawn
from workbench.conversation import Conversation
from workbench.sampling.effective import effective
from workbench.sampling.presets import presets
from workbench.sampling.table import SamplerTable, SamplerTrace, sampler_table, sampler_trace
from workbench.stages import Generation
from workbench.values import FrozenJSON
from workbench.views import html_of


def values(text):
    raw = text.encode("utf-8", "surrogatepass")
    body = {"messages": [{"role": "user", "content": "x"}], "grammar": text or "g", "repeat_penalty": 5.0, "stop": "s"}
    sides = [effective(Conversation.from_dict(body), name) for name in ("llama-server", "ollama-0.24")]
    answers = Answers(sides[0], sides[1], Generation((), "max-tokens", text, text), generation(step(piece=raw)))
    odd = generation(step(pieces=(raw, raw, raw), piece=raw))
    return {
        "table": sampler_table(odd, 0),
        "trace": sampler_trace(odd),
        "chains": Chains(FrozenJSON({"grammar": text}), FrozenJSON({}), CHAINS.places, ((1, raw), (2, raw), (3, raw))),
        "preset": presets()["ollama-0.24"],
        "presets": presets(),
        "effective": sides[0],
        "dropped": sides[1],
        "answers": answers,
        "redrawn": Redrawn((1,), (2,), (0,)),
    }


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [*values("x")])
def test_text_stays_text(name, text):
    is_plain(html_of(values(text)[name]))


def test_removed_is_struck_through_and_the_rest_has_arrows():
    page = html_of(sampler_table(generation(), 0))
    assert "line-through" in page[page.index("✕") :]
    shown = Reader(page).text
    for part in (
        "20.0% ▼",
        "60.0% ▲",
        "b drawn",
        "candidates left",
        "it drew 0.5000",
        "penalties took the first place",
    ):
        assert part in shown, part
    assert shown.count("\\xff") == 1


def test_nothing_at_all():
    empty = SamplerTable(0, 1, (), ())
    assert "stayed first" in html_of(empty)
    assert "0 of 0" in html_of(SamplerTrace((), FrozenJSON({})))
    assert "0 of 0 places" in html_of(Chains(FrozenJSON({}), FrozenJSON({}), (), ()))
    assert "every token was drawn again" in html_of(Redrawn((), ()))


def test_long_answers_are_cut_with_a_count():
    page = html_of(sampler_trace(generation(*[step(stages=STAGES)] * 400)))
    assert "250 more tokens not shown (of 400)" in page
    assert "388 more tables; any of them: trace[index] not shown (of 400)" in page
    assert len(page) < 400_000


def test_a_preset_says_what_counts_and_where_it_was_read():
    shown = Reader(html_of(presets()["ollama-0.24"])).text
    for part in ("repeat_penalty1.0changes nothing", "v0.24.0/sample/samplers.go#L130", "on 2026-11-24"):
        assert part in shown, part
    assert "not published" in html_of(presets()["lm-studio"])
    assert "5.0 changes nothing" in Reader(html_of(values("x")["dropped"])).text
