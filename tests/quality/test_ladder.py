"""Ladders: the files, the types that are really in them, what is in the cache, what does not fit on the disk."""

import shutil

import pytest

from workbench.data import toolsmith
from workbench.errors import BadRequest, CannotRun
from workbench.gguf.header import read_header
from workbench.quality import Ladder, Recipe, ladder

pytestmark = pytest.mark.model


def test_rungs_hold_what_they_say_and_come_from_the_cache(fresh_cache, text):
    found = ladder(toolsmith(), ("Q8_0", Recipe("Q4_0", tensor_types=(("attn_v", "Q8_0"),))), text=text, n_ctx=128)
    eight, four = found.rungs
    assert eight.words == "37 Q8_0"
    assert four.words == "31 Q4_0, 5 Q8_0, 1 Q6_K"
    assert not eight.fallen
    assert not four.fallen
    assert {used.type: used.bytes for used in four.used}["Q8_0"] == 174_080
    assert four.bytes == read_header(four.path).file_size < eight.bytes < toolsmith().stat().st_size
    klds = [found.measured(i).figure("mean_kld").value for i in range(2)]
    assert 0 < klds[0] < klds[1]
    made = {path: path.stat().st_mtime_ns for path in (fresh_cache / "quantised").iterdir()}
    again = ladder(toolsmith(), ("Q8_0", "Q4_0"))
    assert again.rungs[0] == eight
    assert again.rungs[1].path != four.path  # another recipe is another file
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert again.quality is None
    assert Ladder.from_dict(found.to_dict()) == found
    assert list(found.to_frame()["fell back"]) == [0, 0]
    assert "31 Q4_0" in repr(found)


def test_the_name_of_a_k_quant_lies_where_the_widths_are_no_multiples_of_256(demo_model):
    again = ladder(demo_model, (Recipe("F16", requantise=True),)).rungs[0]
    assert not again.fallen
    found = ladder(again.path, ("Q4_K_M", "Q2_K"))
    medium, low = found.rungs
    assert medium.words == "166 Q5_0, 16 Q4_K, 15 Q8_0, 14 Q6_K"
    assert {used.type: used.tensors for used in medium.fallen} == {"Q5_0": 166, "Q8_0": 15}
    assert {used.type: used.tensors for used in low.used}["Q4_0"] == 180
    assert {used.type: used.tensors for used in low.used}["Q3_K"] == 30
    assert "Q4_K_M: 181 matrices are no multiple of 256 wide and hold Q5_0 and Q8_0 in its place" in found.notes


def test_a_disk_that_is_too_small_is_told_before_the_first_file(fresh_cache, monkeypatch):
    usage = shutil.disk_usage(fresh_cache.parent)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _path: usage._replace(free=66 << 20)
    )  # no smaller disk is to be had
    with pytest.raises(CannotRun, match=r"Q8_0, Q4_0 of .* may need [\d,]+ bytes and .* has 69,206,016 free"):
        ladder(toolsmith(), ("Q8_0", "Q4_0"))
    assert list((fresh_cache / "quantised").iterdir()) == []


def test_a_wrong_recipe_is_told_before_the_first_file(fresh_cache):
    with pytest.raises(BadRequest, match=r"no tensor of .* has 'attn_w' in its name"):
        ladder(toolsmith(), ("Q8_0", Recipe("Q4_0", tensor_types=(("attn_w", "Q8_0"),))))
    assert not fresh_cache.exists()
