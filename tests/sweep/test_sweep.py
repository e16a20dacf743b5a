"""A grid of setups and requests as one table: its cells, what is taken over, what a cancel and a dead host do."""

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import psutil
import pytest

from workbench import data
from workbench.errors import BadFile, BadRequest
from workbench.progress import Cancel
from workbench.setup import Setup
from workbench.sweep import Sweep, grid, sweep
from workbench.sweep_cell import MEASURED, keep, kept
from workbench.trace import trace
from workbench.views import html_of

pytestmark = pytest.mark.model

HI = {"messages": [{"role": "user", "content": "Hi"}]}
CODE = {"messages": [{"role": "user", "content": "Write a function that adds two numbers."}]}
BASE = Setup.from_dict(
    {"model": str(data.toolsmith()), "runtime": {"n_threads": 1, "n_ctx": 512}, "sampling": {"max_tokens": 6}}
)


def cell(found, setup, request=0):
    return next(c.measured.value() for c in found.cells if (c.setup, c.request) == (setup, request))


def model_processes():
    """The model processes below this one; what has just ended has no command line any more."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            found |= {process} if "workbench.runtime.worker" in process.cmdline() else set()
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two KV-cache types, two requests, kept in a folder."""
    folder = tmp_path_factory.mktemp("sweep") / "made" / "here"
    return folder, sweep(grid(BASE, {"runtime.type_k": ["f16", "q4_0"]}), [HI, CODE], folder=folder)


def test_a_grid_has_every_combination():
    setups = grid(BASE, {"runtime.type_k": ["f16", "q8_0"], "runtime.flash_attn": [True, False, "auto"]})
    assert len(set(setups)) == 6
    assert [s.runtime.flash_attn for s in setups[:3]] == [True, False, "auto"]
    assert grid(BASE, {}) == (BASE,)
    with pytest.raises(BadRequest, match=r"runtime.type_k is \"q3\""):
        grid(BASE, {"runtime.type_k": ["q3"]})


def test_a_cell_is_what_a_trace_of_its_own_gives(measured):
    _, found = measured
    alone = trace(CODE, BASE.replace(**{"runtime.type_k": "q4_0"}))
    mine = cell(found, 1, 1)
    assert mine["text"] == alone.generation.text
    assert mine["ids"] == [step.id for step in alone.generation.steps]
    assert mine["prompt_logprob"] == pytest.approx(float(alone.scores.logprob[:-1].astype(float).mean()), abs=1e-6)
    assert mine["answer_logprob"] == pytest.approx(sum((s.logprob for s in alone.generation.steps), 0.0) / 6, abs=1e-6)
    assert (mine["n_prompt"], mine["stop"], mine["stage"]) == (len(alone.tokens), "max-tokens", "parsed")
    assert mine["memory_mib"] == pytest.approx(sum(alone.environment.runtime.value()["buffers_mib"].values()), abs=0.01)
    assert mine["prompt_per_s"] > 0
    assert mine["answer_per_s"] > 0
    assert (mine["error"], mine["log"]) == (None, [])


def test_the_table_has_the_settings_that_differ(measured):
    _, found = measured
    frame = found.to_frame()
    assert list(frame.columns) == ["setup", "runtime.type_k", "request", *MEASURED]
    assert list(frame["runtime.type_k"]) == ["f16", "f16", "q4_0", "q4_0"]
    assert list(frame["request"]) == ["Hi", "Write a function that adds two numbers."] * 2
    assert frame["memory_mib"][0] > frame["memory_mib"][2]
    assert found.varied == ("runtime.type_k",)
    assert "2 setups x 2 requests, 4 of 4" in repr(found)
    assert Sweep.from_dict(json.loads(found.to_json())) == found


def test_what_is_there_is_taken_over_and_the_rest_is_done(measured):
    folder, found = measured
    files = sorted(folder.glob("*.json"))
    assert len(files) == 4
    assert sorted(folder.iterdir()) == files  # nothing half-written, no stop file
    states = {path.name: path.stat().st_mtime_ns for path in files}
    files[0].write_text(files[0].read_text()[:20])  # cut off: done again
    files[1].unlink()
    again = sweep(found.setups, found.requests, folder=folder)
    now = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name for name in now if now[name] != states.get(name)} == {files[0].name, files[1].name}
    timed = ("prompt_per_s", "answer_per_s")
    for before, after in zip(found.cells, again.cells, strict=True):
        a, b = before.measured.value(), after.measured.value()
        assert {k: v for k, v in a.items() if k not in timed} == {k: v for k, v in b.items() if k not in timed}


def test_a_changed_file_or_stage_is_another_cell(tmp_path):
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(data.toolsmith().read_bytes())
    setup = BASE.replace(model=str(copy))
    folder = tmp_path / "cells"
    sweep([setup], [HI], folder=folder, until="tokens")
    sweep([setup], [HI], folder=folder, until="rendered")
    assert len(list(folder.iterdir())) == 2
    with copy.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    sweep([setup], [HI], folder=folder, until="tokens")
    assert len(list(folder.iterdir())) == 3


def test_a_setting_that_cannot_be_is_a_row_like_any_other():
    setups = grid(BASE, {"runtime.type_v": ["q8_0", "f16"]})
    found = sweep([s.replace(**{"runtime.flash_attn": False}) for s in setups], [HI], until="scores")
    assert "llama.cpp reads a quantised V cache in flash attention alone" in cell(found, 0)["error"]
    assert (cell(found, 0)["stage"], cell(found, 0)["n_prompt"]) == ("tokens", cell(found, 1)["n_prompt"])
    assert cell(found, 1)["error"] is None
    assert "1 with an error" in repr(found)
    assert "flash attention alone" in html_of(found)


def test_a_dead_host_is_a_row_with_its_log():
    """llama.cpp ends its process where an RPC server hangs up; the setups beside it are measured all the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            with contextlib.suppress(OSError):  # the listener is closed
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        dead = {"runtime.devices": [f"127.0.0.1:{listener.getsockname()[1]}"], "runtime.n_gpu_layers": -1}
        found = sweep([BASE.replace(**dead), BASE], [HI], until="scores")
        listener.shutdown(socket.SHUT_RDWR)
    assert "was ended by SIGABRT" in cell(found, 0)["error"]
    assert any("RPC" in line for line in cell(found, 0)["log"])
    assert cell(found, 1)["error"] is None
    page = html_of(found)
    assert "SIGABRT" in page
    assert "Log of setup 0" in page


def test_a_model_that_is_not_there_and_a_bad_template_are_rows():
    setups = [
        BASE.replace(model="nowhere.gguf"),
        BASE.replace(**{"template.source": "text:{{ raise_exception('no') }}"}),
    ]
    found = sweep(setups, [HI], until="tokens")
    assert "nowhere.gguf does not exist" in cell(found, 0)["error"]
    assert "no" in cell(found, 1)["error"]
    assert cell(found, 1)["stage"] == "rendered"


def test_a_cancel_keeps_what_is_there_and_the_next_run_goes_on(tmp_path):
    cancel, seen, before = Cancel(), [], model_processes()  # other tests' hosts may be up

    def progress(what, done, total):
        seen.append((what, done, total))
        if done:
            cancel.set()

    setups = grid(BASE, {"sampling.seed": list(range(6))})
    found = sweep(setups, [HI], folder=tmp_path, progress=progress, cancel=cancel)
    assert 1 <= len(found.cells) < 6
    assert found.notes == (f"cancelled after {len(found.cells)} of 6 cells",)
    assert len(list(tmp_path.iterdir())) == len(found.cells)
    assert seen[-1][0] == "sweeping"
    assert seen[-1][2] == 6
    assert model_processes() <= before
    whole = sweep(setups, [HI], folder=tmp_path)
    assert len(whole.cells) == 6
    assert whole.notes == ()
    assert whole.cells[: len(found.cells)] == found.cells


def test_an_interrupt_ends_the_hosts(tmp_path):
    before = model_processes()

    def progress(_what, _done, _total):
        if model_processes() - before:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        sweep(grid(BASE, {"sampling.seed": [1, 2, 3]}), [HI], folder=tmp_path, progress=progress)
    assert model_processes() <= before
    assert [path for path in tmp_path.iterdir() if path.suffix != ".json"] == []


def test_one_thing_where_a_list_is_wanted_is_said():
    for setups, requests in ((BASE, [HI]), ([BASE], HI), ([BASE], "request.json"), (None, [HI])):
        with pytest.raises(BadRequest, match=r"^(setups|requests): .* is no list; accepted is a list"):
            sweep(setups, requests)
    for axes, words in (
        ({"runtime.type_k": "f16"}, "the values of runtime.type_k: 'f16' is no list"),
        ({"runtime.type_k": None}, "the values of runtime.type_k: None is no list"),
        ({5: [1]}, "a setting is called 5"),
    ):
        with pytest.raises(BadRequest, match=words):
            grid(BASE, axes)
    assert sweep([str(data.toolsmith())], [HI], until="rendered").setups == (Setup(model=str(data.toolsmith())),)


def test_an_error_is_tried_again_and_what_a_cancel_left_of_it_stays(tmp_path):
    """A server that was not there, memory that was taken, a process that was killed."""
    cells = tmp_path / "cells"
    found = sweep([BASE], [HI], folder=cells, until="tokens")
    (path,) = cells.iterdir()
    path.write_text('{"a":' * 5000)
    assert kept(cells, path.stem) is None
    path.write_text(json.dumps(dict(MEASURED) | {"error": "no RPC server answers"}))
    cancelled = Cancel()
    cancelled.set()
    before = sweep([BASE], [HI], folder=cells, until="tokens", cancel=cancelled)
    assert cell(before, 0)["error"] == "no RPC server answers"
    told = []
    again = sweep([BASE], [HI], folder=cells, until="tokens", progress=lambda *args: told.append(args))
    assert again == found
    assert json.loads(path.read_text()) == cell(found, 0)
    assert told[-1] == ("sweeping", 1, 1)


def test_equal_cells_are_measured_once(tmp_path):
    found = sweep([BASE, BASE], [HI, HI], folder=tmp_path, until="scores")
    assert len(found.cells) == 4
    assert len({c.measured for c in found.cells}) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_two_local_hosts_and_another_executor_give_the_same(measured):
    _, found = measured
    for options in ({"hosts": 2}, {"executor": ProcessPoolExecutor(1)}):
        other = sweep(found.setups, found.requests, **options)
        for a, b in zip(found.cells, other.cells, strict=True):
            assert a.measured.value()["ids"] == b.measured.value()["ids"]
            assert a.measured.value()["prompt_logprob"] == b.measured.value()["prompt_logprob"]


class Losing(Executor):
    """An executor whose machine is lost with the work on it."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(ConnectionError("the worker is gone"))
        return future


def test_work_that_an_executor_loses_is_an_error_and_done_next_time(tmp_path):
    found = sweep([BASE], [HI], folder=tmp_path, executor=Losing(), until="tokens")
    assert cell(found, 0)["error"] == "the executor lost this work: ConnectionError: the worker is gone"
    assert list(tmp_path.iterdir()) == []
    assert cell(sweep([BASE], [HI], folder=tmp_path, until="tokens"), 0)["error"] is None


@pytest.mark.slow
def test_a_dask_cluster(tmp_path, measured):
    from distributed import Client, LocalCluster

    _, found = measured
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, local_directory=tmp_path) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        setups = [*found.setups, BASE.replace(**{"runtime.devices": ["127.0.0.1:1"]})]
        there = sweep(setups, found.requests, executor=executor)
    assert [c.measured.value()["ids"] for c in there.cells[:4]] == [c.measured.value()["ids"] for c in found.cells]
    assert "no RPC server answers at 127.0.0.1:1" in there.cells[4].measured.value()["error"]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"until": "end"}, "until is 'end'"), ({"hosts": 0}, "hosts is 0"), ({"hosts": "2"}, "hosts is '2'")],
)
def test_a_wrong_argument_is_said(options, words):
    with pytest.raises(BadRequest, match=words):
        sweep([BASE], [HI], **options)


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="the sweep cannot be kept in"):
        sweep([BASE], [HI], folder=tmp_path / "file" / "below")


def test_a_folder_that_goes_away_is_said(tmp_path):
    folder = tmp_path / "cells"
    with pytest.raises(BadFile, match=r"the sweep cannot be kept in .*No such file or directory"):
        sweep([BASE], [HI], folder=folder, until="tokens", executor=Removing(folder))


class Removing(ThreadPoolExecutor):
    """An executor under which the folder is removed before the work begins."""

    def __init__(self, folder):
        super().__init__(1)
        self._folder = folder

    def submit(self, fn, /, *args, **kwargs):
        shutil.rmtree(self._folder)
        return super().submit(fn, *args, **kwargs)


def test_a_cell_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(OSError):
        keep(tmp_path, "taken", dict(MEASURED))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.json"]
    assert kept(tmp_path, "taken") is None


def test_views_of_hostile_and_of_empty_sweeps(measured):
    _, found = measured
    hostile = "</script><b>\N{PILE OF POO}"
    request = {"messages": [{"role": "user", "content": hostile}]}
    data_ = found.to_dict() | {"requests": [{"source": None, "body": request}] * 2}
    for item in data_["cells"]:
        item |= {"text": hostile + "\udc80", "error": None, "log": [hostile]}
    data_["cells"][0]["error"] = hostile
    page = html_of(Sweep.from_dict(data_))
    assert "<b>\N{PILE OF POO}" not in page
    assert "</script>" not in page
    assert "Sweep" in html_of(Sweep((), (), ()))
    chart = found.plot().bundle
    assert "q4_0" in chart["text/plain"]
    bars = chart["application/vnd.plotly.v1+json"]["data"]
    assert [len(bar["x"]) for bar in bars] == [2, 2]
