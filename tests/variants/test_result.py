"""Variants as a value: what is counted, where answers part, blocks by position, both ways through JSON, the view."""

import dataclasses
import json

import pytest

from tests.variants.examples import PIECES, made
from workbench.variants import Flips, Variants
from workbench.views import chart_of, html_of
from workbench.views.variant_strips import DIVERGENCE, step_of

HOSTILE = (b"<script>x</script>", b"\xff", b"", "\u202e🙂".encode(), b"\n" * 30, b"&amp;")


def test_flips_are_counted_by_the_text_they_are_in():
    found = made()
    low, gone = found.others
    assert found.count(low) == Flips(all=2, beyond_floor=2, in_calls_and_code=1)
    assert found.count(gone) == Flips(0, 0, 0)
    assert [(flip.position, flip.a, flip.b) for flip in found.flips(low)] == [(1, 2, 0), (3, 4, 0)]
    noisy = dataclasses.replace(found.floor, rows=(found.floor.rows[0]._replace(swing=9.0),))
    pair = dataclasses.replace(low.pair, floor=noisy)
    assert found.count(dataclasses.replace(low, pair=pair)).beyond_floor == 0


def test_figures_by_kind_are_about_the_token_that_follows():
    found = made()
    rows = {row.name: row for row in found.by_kind(found["low"])}
    assert {name: (row.n, row.flips) for name, row in rows.items()} == {"prose": (3, 1), "tool call": (2, 1)}
    assert rows["tool call"].max_kl == 2.0
    assert found.by_kind(found["gone"]) == ()


def test_blocks_tile_the_positions():
    found = made()
    assert [(b.start, b.end) for b in found.blocks(4)] == [(0, 2), (2, 4), (4, 6)]
    assert found.blocks(3)[0].mean_kl[0] == pytest.approx(0.25, abs=1e-5)
    assert found.blocks(1)[0].mean_kl[1] != found.blocks(1)[0].mean_kl[1]  # the variant without figures: NaN


def test_answers_part_at_a_token():
    found = made()
    assert found.parts_at(found["low"]) == 1
    assert found.parts_at(found["gone"]) is None
    shorter = dataclasses.replace(found["low"], answer_ids=(4,))
    assert found.parts_at(shorter) == 1
    assert found.parts_at(dataclasses.replace(shorter, answer_ids=(4, 5))) is None
    with pytest.raises(KeyError):
        found["other"]


def test_it_comes_back_from_json():
    found = made()
    assert Variants.from_dict(found.to_dict()) == found
    assert Variants.from_dict(json.loads(found.to_json())).to_json() == found.to_json()
    told = found.to_dict()["others"][0]
    assert [flip["kind"] for flip in told["flips"]] == ["prose", "tool call"]
    frame = found.to_frame()
    assert len(frame) == len(PIECES)
    assert frame[frame.flipped]["reference_first"].tolist() == ["\n", "<tool_call>"]
    assert "2 flips; gone: it does not fit" in repr(found)


def test_a_kl_has_one_step():
    assert [step_of(kl) for kl in (0.0, 0.0009, 0.001, 0.05, 0.5, 1.0, 9.0, float("inf"))] == [0, 0, 1, 2, 3, 4, 4, 4]
    assert step_of(0.05, floor=0.06) == 0
    assert step_of(float("nan")) is None
    assert len(DIVERGENCE) == 5


def test_the_view_says_what_matters():
    page = html_of(made())
    assert "could not run" in page
    assert "gone: it does not fit" in page
    assert "hold Q5_0 in its place" in page  # the name lies
    assert "the base is &lt;no&gt; original" in page
    assert "parts at token 1" in page
    assert "beyond" in page
    assert page.count("tool call") >= 2


def test_text_stays_text():
    page = html_of(made(HOSTILE, name="<b>x</b>"))
    assert "<script" not in page
    assert "<b>x" not in page
    assert "\u202e" not in page
    assert "🙂" in page
    assert "\\xff" in page


def test_a_long_text_is_cut_with_a_count(monkeypatch):
    monkeypatch.setattr("workbench.views.variant_strips.LIMIT_TOKENS", 4)
    assert "2 more tokens before, not shown" in html_of(made())


def test_the_chart_has_a_curve_for_each_variant_with_figures():
    names = [trace["name"] for trace in chart_of(made(), theme="dark").bundle["application/vnd.plotly.v1+json"]["data"]]
    assert names == ["low", "noise floor"]
