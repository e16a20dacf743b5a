"""The quantisation lab without a browser: choices, columns that cannot be had, what stands below, cancel, the copy."""

import psutil
import pytest

from workbench.data import held_out_file, requests, toolsmith
from workbench.errors import BadRequest
from workbench.quality import Quality
from workbench.setup import Setup
from workbench.widgets import precisions, quantisation_lab
from workbench.widgets.precisions import Column, Precisions

ONE_THREAD = Setup.from_dict({"runtime": {"n_threads": 1}})
WAIT_S = 120


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def lab():
    made = quantisation_lab(types=["Q2_K"], setup=ONE_THREAD)
    assert made.wait(WAIT_S)
    yield made
    made.close()


def chosen(*columns, **more):
    return Precisions(model=str(toolsmith()), request_text="{}", base=ONE_THREAD, **more).changed({"columns": columns})


@pytest.mark.model
def test_columns_have_names_and_setups_of_their_own():
    choices = chosen(
        {}, {"type_k": "q8_0", "flash": "on"}, {"type_k": "q8_0", "flash": "on"}, {"weights": "file:/a/b.gguf"}
    )
    assert choices.names == ("base file", "base file, K q8_0, flash on", "base file, K q8_0, flash on (2)", "b.gguf")
    ready = choices.ready(make=False)
    assert ready.setups["base file"] == ONE_THREAD.replace(model=str(toolsmith()))
    assert ready.setups["base file, K q8_0, flash on"].to_dict()["runtime"] == {
        "n_threads": 1,
        "type_k": "q8_0",
        "flash_attn": True,
    }
    assert ready.setups["b.gguf"].model == "/a/b.gguf"


@pytest.mark.model
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": [{}]}, "accepted are 2 to 4"),
        ({"columns": [{}] * 5}, "accepted are 2 to 4"),
        ({"columns": [{}, {"type_k": "q9"}]}, "type_k of a column is 'q9'; accepted are f32"),
        ({"columns": [{}, {"weights": "../x"}]}, "weights of a column is '../x'; accepted are F32"),
        ({"columns": [{}, {"flash": True}]}, "accepted are auto, on, off"),
        ({"columns": [{}, {"colour": "red"}]}, "accepted are weights"),
        ({"columns": None}, "columns is None; accepted is a list of columns"),
        ({"columns": ["Q4_0", "Q8_0"]}, "a column is 'Q4_0'; accepted is an object"),
        ({"n_ctx": "64"}, "n_ctx is '64'; accepted is a whole number"),
        ({"chosen": None}, "chosen is None; accepted is a whole number"),
        ({"model": 5}, "model is 5; accepted is a text"),
        ({"request_text": None}, "request_text is None; accepted is a text"),
        ({"panel": "nope"}, "accepted are kinds"),
        ({"base": 1}, "the page sent base"),
    ],
)
def test_a_wrong_choice_is_one_sentence(changes, words):
    with pytest.raises(BadRequest, match=words):
        chosen({}, {}).changed(changes)


@pytest.mark.model
def test_a_large_base_is_quantised_when_somebody_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(precisions, "MADE_AT_ONCE_BYTES", 1)
    choices = chosen({}, {"weights": "Q4_0"}, {"weights": "Q8_0"})
    waits = choices.ready(make=False)
    assert waits.held == ("Q4_0", "Q8_0")
    assert "Q4_0 is not made yet: all that is missing takes" in waits.errors["Q4_0"]
    assert not list(tmp_path.rglob("*.gguf"))
    assert set(choices.ready(make=True).setups) == {"base file", "Q4_0", "Q8_0"}
    assert choices.ready(make=False).held == ()


@pytest.mark.model
def test_the_disk_is_looked_at_before_the_first_file_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("workbench.runtime.quantise.SPARE_BYTES", 1 << 60)
    full = chosen({}, {"weights": "Q4_0"}, {"weights": "Q8_0"}).ready(make=True)
    assert "Q4_0, Q8_0 of" in full.errors["Q4_0"]
    assert "free some space" in full.errors["Q8_0"]
    assert not list(tmp_path.rglob("*.gguf"))


@pytest.mark.model
def test_a_change_of_types_and_caches_is_compared(lab):
    assert lab.found["Q2_K"].pair.mean_kl > 0.5
    small = lab.found.reference.cache_bytes
    columns = [{}, {"type_k": "q4_0"}, {"type_v": "q4_0", "flash": "off"}, {"weights": "IQ2_XXS"}]
    assert lab.change(columns=columns).wait(WAIT_S)
    found = lab.found
    assert found["base file, K q4_0"].cache_bytes < small
    assert 0.01 < found["base file, K q4_0"].pair.mean_kl < 0.5
    assert "flash attention alone" in found["base file, V q4_0, flash off"].trouble
    page = lab.html()
    assert "requires an imatrix" in page
    assert "static copy" in page
    assert lab.select(len(found) - 1).keys() == {"base file", "base file, K q4_0"}
    assert "expected here" in lab.html()
    assert lab.select(0) == {}


@pytest.mark.model
def test_a_base_or_a_request_that_cannot_be_read_is_said_and_the_next_one_runs(lab, tmp_path):
    assert lab.change(model=str(tmp_path / "no.gguf")).wait(WAIT_S)
    assert "does not exist" in lab.trouble
    assert lab.change(model=str(toolsmith()), request_text="{nope").wait(WAIT_S)
    assert "not JSON" in lab.trouble
    assert lab.choices.request == ""
    assert lab.change(request="hello").wait(WAIT_S)
    assert lab.trouble == ""
    assert b"capital" in b"".join(lab.found.tokens.pieces)


@pytest.mark.model
def test_what_stands_below_are_values(lab):
    kinds = {"layers": "Drift", "groups": "TensorGroups", "cache": "Variants"}
    for panel, kind in kinds.items():
        assert lab.change(panel=panel).wait(WAIT_S)
        assert type(lab.under).__name__ == kind
        assert len(lab.below.outputs) == 2  # the chart and the page
    assert lab.change(columns=[{}, {"type_k": "q8_0"}], panel="groups").wait(WAIT_S)
    assert "own weights" in lab.under
    assert lab.change(panel="").wait(WAIT_S)
    assert lab.below.outputs == ()


@pytest.mark.model
def test_a_quality_pass_is_cancelled_and_goes_on(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    text = tmp_path / "text.txt"
    text.write_text(held_out_file().read_text("utf-8")[:60_000])
    seen = []
    shown = lab._show_part

    def follow(stamp, value):
        shown(stamp, value)
        seen.append(value)
        if len(seen) == 3:
            lab.cancel()

    monkeypatch.setattr(lab, "_show_part", follow)
    lab.change(text=str(text), panel="quality")
    assert lab.wait(WAIT_S)
    assert isinstance(lab.under, Quality)  # what was had stays
    assert [part.chunks for part in seen][:3] == [seen[0].chunks + k for k in range(3)]
    before = lab.under.chunks
    lab.change(panel="quality").wait(WAIT_S)
    assert lab.under.chunks > before
    assert lab.under.resumed >= before
    assert lab.under.candidates[0].figure("mean_kld").value > 0.5


@pytest.mark.model
def test_closing_ends_every_process():
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    lab = quantisation_lab(request=requests()["hello"], types=["Q8_0"], setup=ONE_THREAD)
    lab.wait(WAIT_S)
    mine = [child for child in me.children(recursive=True) if child.pid not in before]
    assert mine
    lab.close()
    psutil.wait_procs(mine, 10)
    assert [child for child in mine if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.model
def test_too_many_types_are_refused():
    with pytest.raises(BadRequest, match="accepted are 2 to 4"):
        quantisation_lab(types=["Q8_0"] * 4)
    assert Column("file:/x/y.gguf").name == "y.gguf"
