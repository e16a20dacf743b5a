"""Whole measurements with toolsmith: the definition by another way, resume, cancel, traps, mistakes."""

import sys
import threading
import time

import numpy as np
import psutil
import pytest

from tests.gguf import tiny
from workbench.data import toolsmith
from workbench.errors import BadFile, BadRequest, Cancelled, CannotRun, HostDied
from workbench.gguf.grid import weight_grids
from workbench.progress import Cancel
from workbench.quality import Quality, measure
from workbench.quality.state import State
from workbench.quality.statistics import FEWEST
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.runtime.recipe import Recipe
from workbench.setup import Setup

pytestmark = pytest.mark.model

N_CTX = 128
BOS = 1  # of toolsmith, which asks for it
FIRST, ROWS = N_CTX // 2, N_CTX - 1 - N_CTX // 2


def setup_of(path, **runtime):
    return Setup.from_dict({"model": str(path), "runtime": {"n_threads": 1, **runtime}})


def log_probabilities(setup, chunk):
    """Of the scored positions of one chunk, from the full logits that the host gives."""
    with Host(setup) as host:
        scores = host.score(chunk, logits_at=range(FIRST, N_CTX - 1))
    rows = np.array([row for _, row in scores.logits], np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def test_it_is_the_definition_computed_from_full_logits(base, q4, text):
    found = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    with Host(base) as host:
        ids = host.tokenize(text).ids.tolist()
    assert found.chunks == len(ids) // N_CTX
    klds, same, nlls = [], [], []
    for at in range(0, found.chunks * N_CTX, N_CTX):
        chunk = [BOS, *ids[at + 1 : at + N_CTX]]
        p, q = log_probabilities(base, chunk), log_probabilities(setup_of(q4), chunk)
        klds.append((np.exp(p) * (p - q)).sum(axis=1))
        same.append(p.argmax(axis=1) == q.argmax(axis=1))
        nlls.append(-q[np.arange(ROWS), chunk[FIRST + 1 :]])
    figure = found.candidates[0].figure
    assert found.positions == np.concatenate(klds).size
    # The same model in other batches: Q4_0's own kernels differ by some thousandths of a nat.
    assert figure("mean_kld").value == pytest.approx(np.concatenate(klds).mean(), rel=0.02)
    assert figure("median_kld").value == pytest.approx(np.median(np.concatenate(klds)), rel=0.03)
    assert figure("mean_ppl_q").value == pytest.approx(np.exp(np.concatenate(nlls).mean()), rel=0.02)
    assert figure("same_top_p").value == pytest.approx(100 * np.concatenate(same).mean(), abs=2)


def test_bos_stands_at_the_start_of_every_chunk_only_where_the_vocabulary_asks_for_it(base, text):
    without = base.replace(**{"metadata.tokenizer.ggml.add_bos_token": False})
    found = measure(base, [without], text, n_ctx=N_CTX)
    assert found.candidates[0].figure("mean_kld").value > 0.0001
    assert "add_bos_token False" in found.names[0]


def test_the_base_against_itself_is_no_way(base, text):
    batches = [base.replace(**{f"runtime.{name}": 24}) for name in ("n_ubatch", "n_batch")]
    itself, *others = measure(base, [base, *batches], text, n_ctx=N_CTX).candidates
    assert itself.figure("max_kld").value == 0
    assert itself.figure("same_top_p") == (100, 0)
    for other in others:  # the noise floor of F16 weights
        assert 0 < other.figure("mean_kld").value < 1e-4
        assert other.figure("same_top_p").value > 99


def test_repacked_weights_are_a_difference_that_the_floor_does_not_explain(base, q4, text):
    packed, plain = setup_of(q4), setup_of(q4, use_extra_bufts=False)
    found = measure(packed, [packed, plain], text, n_ctx=N_CTX)
    floor, repacking = (candidate.figure("mean_kld").value for candidate in found.candidates)
    assert floor == 0
    assert repacking > 0.0005
    assert "use_extra_bufts False" in found.names[1]
    of_f16 = measure(base, [base.replace(**{"runtime.use_extra_bufts": False})], text, n_ctx=N_CTX)
    assert abs(of_f16.candidates[0].figure("mean_kld").value) < 1e-5  # F16 is not repacked


def test_a_circular_reference_is_named_and_turns_the_order_round(base, tmp_path, text):
    low = quantise(toolsmith(), tmp_path / "low.gguf", "Q4_0")
    again = quantise(low, tmp_path / "again-f16.gguf", Recipe("F16", requantise=True))
    five = quantise(again, tmp_path / "five.gguf", "Q5_1")
    circular = measure(setup_of(again), [setup_of(low), setup_of(five)], text, n_ctx=N_CTX)
    coarse, fine = (candidate.figure("mean_kld").value for candidate in circular.candidates)
    assert coarse < fine  # four bits seem better than five: they are what the base was made from
    assert "the comparison is circular" in circular.notes[0]
    assert "again-f16.gguf is stored as F16, but its weights sit on the grid of a quantised file" in circular.notes[0]
    honest = measure(base, [setup_of(low), setup_of(five)], text, n_ctx=N_CTX)
    assert honest.notes == ()
    assert not honest.reference.on_grid
    quantised = measure(setup_of(low), [setup_of(five)], text, n_ctx=N_CTX)
    assert "the base is no original: low.gguf is a quantised file" in quantised.notes[0]


def test_keys_matter_more_than_values_in_a_kv_cache(base, text):
    changes = ({"type_k": "q8_0", "type_v": "q8_0"}, {"type_k": "q4_0"}, {"type_v": "q4_0"})
    setups = [base.replace(**{f"runtime.{key}": value for key, value in change.items()}) for change in changes]
    found = measure(base, setups, text, n_ctx=N_CTX)
    eight, keys, values = (candidate.figure("mean_kld").value for candidate in found.candidates)
    assert eight < values < keys
    assert found.names[1] == "toolsmith-f16.gguf · type_k q4_0"


def workbench_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("workbench")]


def test_a_cancelled_measurement_goes_on_where_it_was(base, q4, text, fresh_cache):
    before = workbench_threads()  # hosts of other tests may be up
    whole = measure(base, [setup_of(q4)], text, n_ctx=N_CTX, resume=False)
    cancel = Cancel()

    def stop_behind_the_second(what, done, total):
        if what == "comparing" and done >= 2 / whole.chunks * total:
            cancel.set()

    for kept in (fresh_cache / "quality").rglob("*.npy"):
        kept.unlink()
    with pytest.raises(Cancelled, match=rf"after [23] of {whole.chunks} chunks; measured again, it goes on") as stopped:
        measure(base, [setup_of(q4)], text, n_ctx=N_CTX, progress=stop_behind_the_second, cancel=cancel)
    done = int(str(stopped.value).partition(" after ")[2][0])
    assert len(list((fresh_cache / "quality").rglob("*"))) == done + 1  # and the folder: nothing is half-written
    again = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    assert (whole.resumed, again.resumed) == (0, done)
    assert again == whole
    assert measure(base, [setup_of(q4)], text, n_ctx=N_CTX).resumed == whole.chunks
    other = measure(base, [setup_of(q4, use_extra_bufts=False)], text, n_ctx=N_CTX)
    assert other.resumed == 0  # another setting is another measurement
    assert [thread for thread in workbench_threads() if thread not in before] == []


def test_a_process_that_dies_loses_one_chunk_at_most(base, q4, text, fresh_cache):
    mine = {child.pid for child in psutil.Process().children()}  # the browser and others that are no hosts
    kept = []  # how many chunks were kept when it was killed
    long = text * 30  # there is more to do whenever that is

    def kill(what, done, total):
        files = list((fresh_cache / "quality").rglob("*.npy"))
        if what == "comparing" and files and not kept:
            kept.append(len(files))
            for child in psutil.Process().children():
                if child.pid not in mine:
                    child.kill()

    with pytest.raises(HostDied, match="was ended by SIGKILL while it was in: comparing"):
        measure(base, [setup_of(q4)], long, n_ctx=N_CTX, progress=kill)
    resumed = measure(base, [setup_of(q4)], long, n_ctx=N_CTX).resumed
    assert resumed in (kept[0], kept[0] + 1)  # the kill may come when that chunk is done


def test_a_damaged_chunk_is_measured_anew(base, q4, text, fresh_cache):
    whole = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    first, second, *_ = sorted((fresh_cache / "quality").rglob("*.npy"))
    first.write_bytes(first.read_bytes()[:100])
    second.write_bytes(b"no array")
    again = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    assert (again.resumed, again) == (whole.chunks - 2, whole)


def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(fresh_cache):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    state = State({"a": 1}, (4, 600))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))  # Python then gets an error in place of a signal
    try:
        with pytest.raises(CannotRun, match=r"what was measured cannot be kept in .*; free some space"):
            state.save(0, np.zeros((4, 600), np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(state.folder.iterdir()) == []
    assert state.load(0) is None


def test_the_text_may_be_a_file_and_its_last_line_end_is_left_out(base, text, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(text + "\n", "utf-8")
    assert measure(base, [base], path, n_ctx=N_CTX) == measure(base, [base], text, n_ctx=N_CTX)


def test_weights_that_take_longer_than_the_text_are_waited_for_unless_it_is_cancelled(
    base, q4, text, fresh_cache, monkeypatch
):
    measured = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    look, asked = weight_grids, threading.Event()

    def slow(model, *, cancel):
        asked.set()
        for _ in range(200):
            if cancel.is_set():
                raise Cancelled("it was left")
            time.sleep(0.01)
        return look(model)

    monkeypatch.setattr(sys.modules["workbench.quality.measure"], "weight_grids", slow)
    again = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    assert (again.resumed, again) == (measured.chunks, measured)  # nothing but the weights was waited for
    cancel = Cancel()
    asked.clear()
    threading.Thread(target=lambda: (asked.wait(30), cancel.set())).start()
    with pytest.raises(Cancelled):
        measure(base, [setup_of(q4)], text, n_ctx=N_CTX, cancel=cancel)


def test_the_values_go_there_and_back(base, q4, text):
    found = measure(base, [setup_of(q4)], text, n_ctx=N_CTX)
    assert Quality.from_dict(found.to_dict()) == found
    frame = found.to_frame()
    assert set(frame["figure"]) >= {"mean_kld", "same_top_p"}
    assert "KLD" in repr(found)


def test_mistakes(base, q4, text, tmp_path):
    with pytest.raises(BadRequest, match=r"the text has \d+ tokens; accepted are 256 or more: two chunks"):
        measure(base, [setup_of(q4)], text[:100], n_ctx=N_CTX)
    with pytest.raises(BadRequest, match=r"accepted are 272 or more: .* 100 positions"):
        measure(base, [setup_of(q4)], "a", n_ctx=8)
    with pytest.raises(BadRequest, match="no candidate"):
        measure(base, [], text)
    with pytest.raises(BadRequest, match="n_ctx is 2"):
        measure(base, [base], text, n_ctx=2)
    with pytest.raises(BadFile, match="does not exist"):
        measure(base, [tmp_path / "nowhere.gguf"], text)
    with pytest.raises(BadFile, match="no file at"):
        measure(base, [base], tmp_path / "nowhere.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="is not UTF-8"):
        measure(base, [base], tmp_path / "bytes.txt")


def test_another_vocabulary_is_refused_before_anything_is_loaded(base, text, tmp_path):
    other = tiny.model_file(tmp_path / "tiny.gguf")
    with pytest.raises(BadRequest, match=r"has another vocabulary than .*: 267 tokens against 1,024"):
        measure(base, [other], text)
    renamed = base.replace(**{"metadata.general.name": "the same tokens"})
    assert measure(base, [renamed], text, n_ctx=N_CTX).candidates[0].figure("max_kld").value == 0


def test_a_file_that_changes_under_the_measurement_is_told(base, q4, text, tmp_path):
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(q4.read_bytes())

    def replace(what, done, total):
        if what == "comparing":
            (tmp_path / "new").write_bytes(q4.read_bytes())
            (tmp_path / "new").replace(copy)

    with pytest.raises(BadFile, match=r"copy.gguf was changed while it was measured"):
        measure(base, [setup_of(copy)], text, n_ctx=N_CTX, resume=False, progress=replace)


def test_whoever_follows_hears_of_every_chunk(base, q4, text, fresh_cache):
    heard = []
    whole = measure(base, [setup_of(q4)], text, n_ctx=N_CTX, on_chunk=heard.append)
    least = -(-FEWEST // ROWS)  # chunks that hold enough positions for any figure
    assert [part.chunks for part in heard] == list(range(least, whole.chunks + 1))
    assert heard[-1] == whole
    assert heard[0].positions == least * ROWS
    measure(base, [setup_of(q4)], text, n_ctx=N_CTX, on_chunk=heard.append)  # nothing is left to measure
    assert heard[-1].chunks == whole.chunks
    assert len(heard) == whole.chunks - least + 1
