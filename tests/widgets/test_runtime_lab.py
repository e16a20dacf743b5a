"""The runtime lab on toolsmith, without a browser: what it computes, foresees, refuses, survives and shows."""

import contextlib
import dataclasses
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.runtime.test_rpc import is_refused
from workbench import data
from workbench.errors import BadRequest
from workbench.setup import Setup
from workbench.widgets import runtime_lab
from workbench.widgets.runtime_results import facts_of

pytestmark = pytest.mark.model
REQUEST = {"messages": [{"role": "user", "content": "What is the weather in <Paris>?"}], "max_tokens": 8}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        base = Setup(model=str(data.toolsmith())).replace(**{"runtime.n_threads": 1, "runtime.use_extra_bufts": False})
        made = runtime_lab(request=REQUEST, a=base)
        assert made.wait(120)
        yield made
        made.close()


def settle(lab, side="b", **changes):
    lab.change(side, **changes)
    assert lab.wait(120)
    return lab.result


def said(lab, kind="controls"):
    """The last message of this kind when a page opens."""
    sent = []
    lab.panel.send = lambda message, _buffers=None: sent.append(message)
    lab._received(None, {"type": "hello"}, [])
    return next(message for message in reversed(sent) if message["type"] == kind)


def wait_for_progress(lab):
    """Until something is computed; what the page was told of it."""
    told = []
    lab.panel.send = lambda message, _buffers=None: told.append(message)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [m for m in list(told) if m["type"] == "progress" and m["operation"].endswith(("scoring", "comparing"))]
        if found:
            return found
        time.sleep(0.01)
    return []


def servers():
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has just ended
            found += [child] if "workbench.runtime.rpc" in child.cmdline() else []
    return found


def test_a_change_is_foreseen_computed_and_drawn(lab):
    lab.align()
    found = settle(lab, rpc=True, n_gpu_layers="3")
    assert lab.memory["b"].places == found.b.memory.places == ("CPU", "CPU", "CPU", "RPC0", "RPC0", "RPC0")
    assert found.b.cost == "reload"
    assert not found.pair.kl.any()
    assert found.pair.floor is not None
    found = settle(lab, type_k="q4_0")
    assert found.b.cost == "context"
    assert found.pair.kl.any()
    side = said(lab)["sides"]["b"]
    assert (side["state"], side["pending"], side["n_layer"]) == ("loaded", "nothing", 5)
    assert side["where"] == "Layers: CPU 0-2, RPC0 3-4; output layer: RPC0."
    assert "RPC0" in side["memory"]
    strips = [widget for widget in lab.results.strips.children if hasattr(widget, "facts")]
    assert [strip.facts.scores for strip in strips] == [found.pair.a, found.pair.b]
    strips[0].selection = (2, 5)
    assert strips[1].selection == (2, 5)
    assert "&lt;" in lab.html()
    assert "<Paris" not in lab.html()
    assert lab.html().count("reads the prompt") == len(facts_of(found)) == 2


def test_wrong_input_keeps_the_last_result_and_says_where_it_is_wrong(lab):
    lab.align()
    shown = settle(lab)
    assert settle(lab, n_ctx="many") is shown
    assert "whole number" in said(lab)["sides"]["b"]["errors"]["n_ctx"]
    settle(lab, n_ctx="")
    assert lab.result.b.state == "loaded"


def test_what_does_not_fit_is_refused_beforehand_with_what_would(lab):
    lab.align()
    found = settle(lab, n_ctx="2000000000")
    assert "set runtime.n_ctx to at most" in said(lab)["sides"]["b"]["refused"]
    assert (found.a.state, found.b.state) == ("loaded", "refused")
    assert settle(lab, n_ctx="").b.state == "loaded"


def test_two_servers_share_the_layers_as_they_are_told(lab):
    lab.align()
    found = settle(lab, devices="rpc:local, rpc:local", n_gpu_layers="6", tensor_split="1, 2")
    assert found.b.memory.places == ("RPC0", "RPC0", "RPC1", "RPC1", "RPC1", "RPC1")
    assert not found.pair.kl.any()
    assert settle(lab, tensor_split="1").b.error.startswith("runtime.tensor_split has 1 shares")
    settle(lab, tensor_split="", devices="")
    assert said(lab)["sides"]["b"]["notes"] == ["n_gpu_layers 6 moves nothing: there is no device beside the CPU"]


def test_what_runs_after_all_is_not_called_refused(lab):
    lab.align()
    found = settle(lab)
    lab.foresight.memory["b"] = dataclasses.replace(lab.memory["b"], refused="it was too tight beside what was loaded")
    assert said(lab)["sides"]["b"]["refused"] == ""
    assert found.b.state == "loaded"


def test_without_live_a_change_waits_for_run(lab):
    lab.align()
    lab.wait(60)
    lab.switch(live=False)
    shown = settle(lab, n_batch="128")
    assert shown.b.setup.runtime.n_batch is None
    assert said(lab)["sides"]["b"]["pending"] == "a new context"
    lab.run()
    lab.wait(60)
    assert lab.result.b.setup.runtime.n_batch == 128
    lab.switch(live=True, layers=True)
    lab.wait(60)
    assert lab.result.drift is not None
    assert lab.results.drift.outputs
    before = lab.result.drift
    lab.run()
    lab.wait(60)
    assert lab.result.drift is before
    lab.switch(layers=False)
    lab.wait(60)
    assert lab.result.drift is None


def test_the_page_knows_which_context_a_measurement_left(lab):
    lab.align()
    lab.switch(layers=True)
    lab.wait(60)
    assert [side["pending"] for side in said(lab)["sides"].values()] == ["nothing", "nothing"]  # it is shown
    lab.switch(live=False)
    lab.ask(max_tokens="5")
    lab.wait(60)
    assert [side["pending"] for side in said(lab)["sides"].values()] == ["a new context", "a new context"]
    lab.ask(max_tokens="8")
    lab.switch(live=True, layers=False)
    lab.wait(60)


def test_what_the_side_itself_has_loaded_counts_as_free(lab, monkeypatch):
    lab.align()
    settle(lab)
    monkeypatch.setattr(lab._hosts[1], "_opened", {"context": None, "held_mib": {"CPU KV": 1e9}})
    lab.switch(live=False)
    settle(lab, n_ctx="768")
    assert [lab.memory[side].free("CPU") > 1e15 for side in "ab"] == [False, True]
    lab.switch(live=True)
    settle(lab, n_ctx="")


def test_a_server_that_dies_is_shown_and_the_next_run_works(lab):
    lab.align()
    settle(lab, rpc=True, n_gpu_layers="3")
    (server,) = servers()
    server.kill()
    found = settle(lab, n_batch="256")
    assert (found.a.state, found.b.state) == ("loaded", "died")
    assert "RPC server crashed" in lab.html()
    lab.run()
    lab.wait(60)
    assert lab.result.b.state == "loaded"
    settle(lab, rpc=False)
    assert servers() == []


def test_a_server_that_one_side_uses_is_refused_to_the_other_and_foreseen_for_its_own(lab):
    lab.align()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "workbench.runtime.rpc", address, "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None and is_refused(address):
            pass
        assert settle(lab, "a", devices=address, n_gpu_layers="3").a.state == "loaded"
        found = settle(lab, "a", n_batch="256")
        assert (found.a.state, found.a.cost) == ("loaded", "context")
        assert lab.memory["a"].places[-1] == "RPC0"
        assert settle(lab, "a", n_gpu_layers="2").a.state == "loaded"
        assert lab.memory["a"] is None
        lab.align()
        lab.wait(120)
        assert (lab.result.a.state, lab.result.b.state) == ("loaded", "failed")
        assert "serves one process at a time" in lab.result.b.error
        settle(lab, "a", devices="", n_gpu_layers="", n_batch="")
        lab.align()
        lab.wait(120)
        running.stdin.close()


def test_a_cancel_stops_it_and_leaves_what_was_had(lab):
    lab.align()
    settle(lab)
    text = '{"messages": [{"role": "user", "content": "' + "one two three " * 250 + '"}]}'
    lab.ask(request_text=text, max_tokens="100")
    lab.change("b", n_ubatch="1")
    computing = wait_for_progress(lab)
    lab.cancel()
    assert lab.wait(10)
    assert computing
    assert "cancelled" in lab.trouble
    lab.ask(request_text='{"messages": ', max_tokens="4")
    lab.wait(60)
    assert "line 1" in said(lab)["request"]["error"]
    lab.ask(request_text='{"messages": [{"role": "user", "content": "a"}]}')
    lab.wait(60)
    assert lab.trouble == ""
    assert lab.result.a.trace.conversation.messages[0]["content"] == "a"


def test_a_message_that_is_wrong_is_shown_not_lost(lab):
    lab._received(None, {"type": "change", "side": "c", "changes": {}}, [])
    assert 'accepted are "a" and "b"' in lab.trouble
    with pytest.raises(BadRequest, match="the side is 'c'"):
        lab.change("c")


def test_the_log_of_a_side_is_there(lab):
    sent = []
    lab.panel.send = lambda message, _buffers=None: sent.append(message)
    lab._received(None, {"type": "log", "side": "a"}, [])
    assert any("llama" in line for line in sent[-1]["lines"])
