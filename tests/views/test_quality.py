"""The views of quality and ladder: every fact, escaped, and a chart that a notebook can draw."""

import json

import pytest

from workbench.gguf.grid import Grids, TensorGrid
from workbench.quality import KINDS, PERCENTILES, Candidate, Figure, Ladder, Quality, Recipe, Rung, Used
from workbench.setup import Setup
from workbench.views import html_of

HOSTILE = "</script><x>\u202e🙂.gguf"


def candidate(model, **runtime):
    figures = tuple((kind.name, Figure(0.125, None if kind.name == "max_kld" else 0.0625)) for kind in KINDS)
    setup = Setup.from_dict({"model": model, "runtime": runtime})
    return Candidate(setup, figures, tuple((percent, 0.5) for percent in PERCENTILES))


def quality(*candidates, grid="Q4_1", notes=()):
    reference = Grids(HOSTILE, (TensorGrid("a<b>.weight", "F16", 100, grid, 40, 1.0),))
    return Quality(Setup(model=HOSTILE), candidates, 512, 3, reference, notes)


@pytest.fixture
def ladder():
    used = (Used("Q5_0", 166, 1 << 20), Used("F32", 3, 12))
    rung = Rung(Recipe("Q4_K_M", (("<x>", "Q8_0"),)), "a.gguf", 1 << 20, used, used[:1])
    return Ladder(HOSTILE, (rung,), quality(candidate("a.gguf")))


def test_quality_shows_its_figures_and_what_they_are_worth():
    found = quality(candidate("a.gguf"), candidate(HOSTILE, type_k="q4_0"), notes=("it is <circular>",))
    page = html_of(found)
    assert "0.125000 ± 0.062500" in page
    assert "3 chunks of 512 tokens, 765 positions" in page
    assert "it is &lt;circular&gt;" in page
    assert "type_k q4_0" in page
    assert "Q4_1" in page
    for text in (page, html_of(found.reference)):
        assert "<x>" not in text
        assert "</script>" not in text
        assert "\u202e" not in text
        assert "🙂" in text


def test_a_measurement_without_candidates_or_grids_is_still_shown():
    assert "0 positions" not in html_of(quality())
    assert "none" in html_of(quality(grid="").reference)


def test_ladder_shows_what_is_in_the_files(ladder):
    page = html_of(ladder)
    for words in ("166 Q5_0", "hold Q5_0 in its place", "0.125000 ± 0.062500", "1.0"):
        assert words in page
    assert "<x>" not in page
    assert "0.125000" not in html_of(Ladder(ladder.source, ladder.rungs))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_charts_are_plain_json(ladder, theme):
    for value, points in ((quality(candidate("a.gguf"), candidate("b.gguf")), len(PERCENTILES)), (ladder, 1)):
        bundle = value.plot(theme=theme).bundle
        figure = json.loads(json.dumps(bundle))["application/vnd.plotly.v1+json"]
        assert len(figure["data"][0]["x"]) == points
        assert "KLD" in bundle["text/plain"] or "Ladder" in bundle["text/plain"]
