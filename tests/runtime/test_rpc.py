"""A second device without a GPU: llama.cpp's own RPC server, started by us or named by address."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from workbench import data
from workbench.errors import BadRequest, CannotRun, HostDied
from workbench.runtime.devices import devices

pytestmark = pytest.mark.model

IDS = list(range(3, 103))
EXACT = {"use_extra_bufts": False, "n_threads": 1}  # the server's CPU repacks nothing, so ours must not either


def servers_of(host):
    """The RPC servers that a host's process has started."""
    return [child for child in psutil.Process(host.pid).children() if "workbench.runtime.rpc" in child.cmdline()]


def gone(process):
    """Whether the process ends within some seconds; one that nobody has asked after yet counts as ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def on_rpc(make_host, n_gpu_layers, **runtime):
    settings = EXACT | {"devices": ["rpc:local"], "n_gpu_layers": n_gpu_layers} | runtime
    return make_host(data.toolsmith(), runtime=settings)


def rpc_mib(info, kind):
    return sum(mib for name, mib in info["buffers_mib"].items() if name.startswith("RPC") and name.endswith(kind))


def test_the_device_is_listed_with_its_memory():
    found = devices("rpc:local")
    assert [device.name for device in found] == ["CPU", "RPC0"]
    assert found["RPC0"].description.startswith("127.0.0.1:")
    assert found["RPC0"].here
    assert found["RPC0"].takes_layers
    assert not found["CPU"].takes_layers
    assert 0 < found["RPC0"].memory_free <= found["RPC0"].memory_total
    assert [device.name for device in devices()] == ["CPU"]
    with pytest.raises(BadRequest, match="accepted are CPU, RPC0"):
        _ = found["CUDA0"]


def test_layers_move_and_the_logits_are_those_of_the_cpu(make_host):
    last = len(IDS) - 1
    on_cpu = make_host(data.toolsmith(), runtime=EXACT).score(IDS, logits_at=[0, last])
    sizes = []
    for n_gpu_layers in (0, 1, 3, -1):
        host = on_rpc(make_host, n_gpu_layers)
        found = host.score(IDS, logits_at=[0, last])
        sizes.append(rpc_mib(host.info(), "model"))
        assert [(at, row.tobytes()) for at, row in found.logits] == [(at, row.tobytes()) for at, row in on_cpu.logits]
        assert found == on_cpu
    assert sizes[0] == 0
    assert sizes == sorted(set(sizes))  # each larger than the one before


def test_two_servers_share_the_layers_as_they_are_told(make_host):
    kv = []
    for split in ([1, 2], [2, 1]):
        host = on_rpc(make_host, -1, devices=["rpc:local", "rpc:local"], tensor_split=split)
        info = host.load()
        assert info["devices"] == ["RPC0", "RPC1"]
        places = {device["description"]: device["name"] for device in info["available_devices"]}
        sizes = {places[n.split("[")[1].split("]")[0]]: mib for n, mib in info["buffers_mib"].items() if "] KV" in n}
        kv.append((sizes["RPC0"], sizes["RPC1"]))
    assert kv == [(1.0, 1.5), (2.0, 0.5)]  # MiB, half a MiB for each of five layers; the output layer counts as one


def test_a_server_that_dies_is_the_death_of_the_model_and_the_next_call_works(make_host):
    host = on_rpc(make_host, -1, n_ubatch=16)
    before = host.score(IDS)
    (server,) = servers_of(host)
    struck = []

    def strike(what, done, total):
        """In the middle of the prompt."""
        if what == "scoring" and done < total and not struck:
            struck.append(done)
            server.kill()

    with pytest.raises(HostDied, match="RPC server crashed") as died:
        host.score([5, *IDS * 9], progress=strike)
    assert struck
    assert died.value.signal == "SIGABRT"
    assert died.value.operation == "scoring"
    assert host.pid is None
    assert host.score(IDS) == before
    assert servers_of(host)


@pytest.mark.parametrize("end", ["close", "kill"])
def test_the_server_ends_with_its_host_however_that_ends(make_host, end):
    host = on_rpc(make_host, -1)
    host.load()
    (server,) = servers_of(host)
    if end == "close":
        host.close()
    else:
        os.kill(host.pid, signal.SIGKILL)
    assert gone(server)


def test_it_listens_on_loopback_alone(make_host):
    host = on_rpc(make_host, 1)
    host.load()
    listening = {c.laddr.ip for c in servers_of(host)[0].net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_nothing_is_started_for_tokenising(make_host):
    host = on_rpc(make_host, -1)
    host.tokenize("abc")
    assert servers_of(host) == []


def test_a_server_elsewhere_is_used_by_its_address(make_host):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    host = on_rpc(make_host, -1, devices=[address])
    with pytest.raises(CannotRun, match=rf"no RPC server answers at {address}: Connection refused"):
        host.load()
    command = [sys.executable, "-m", "workbench.runtime.rpc", address, "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None and is_refused(address):
            pass
        info = host.load()
        assert info["devices"] == ["RPC0"]
        assert rpc_mib(info, "model") > 6
        assert servers_of(host) == []  # the user's own is used and left alone
        with pytest.raises(CannotRun, match="says nothing for 3 s; a server serves one process at a time"):
            on_rpc(make_host, -1, devices=[address]).load(deadline_s=30)
        host.close()
        assert on_rpc(make_host, -1, devices=[address]).load()["devices"] == ["RPC0"]
        assert running.poll() is None
        running.stdin.close()


def is_refused(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        probe.settimeout(0.1)
        time.sleep(0.02)
        return probe.connect_ex((host, int(port))) != 0


def test_a_listener_that_is_no_rpc_server_ends_the_model_alone(make_host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = on_rpc(make_host, -1, devices=[f"127.0.0.1:{listener.getsockname()[1]}"])

        def hang_up():
            for _ in range(2):
                listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(HostDied, match="RPC"):
            host.load()
    host.use(host.setup.replace(**{"runtime.devices": None}))
    assert host.load()["devices"] == []


def test_more_threads_restart_a_server_of_our_own(make_host):
    host = on_rpc(make_host, -1)
    host.load()
    (server,) = servers_of(host)
    assert server.cmdline()[-1] == "1"
    assert host.use(host.setup.replace(**{"runtime.n_threads": 2})) == "reload"
    host.load()
    assert gone(server)
    assert [server.cmdline()[-1] for server in servers_of(host)] == ["2"]


def test_a_context_of_another_kind_keeps_process_server_and_weights(make_host):
    host = on_rpc(make_host, 3)
    host.load()
    before = host.pid, servers_of(host)
    assert host.use(host.setup.replace(**{"runtime.type_k": "q8_0"})) == "context"
    host.load()
    assert (host.pid, servers_of(host)) == before
    assert sum("loading model tensors" in line for line in host.log) == 1


def test_a_name_that_is_no_server_is_refused():
    for name in ("CUDA0", "rpc:", "http://host:1", ""):
        with pytest.raises(BadRequest, match=r'accepted is "rpc:local" or "HOST:PORT"'):
            devices(name)
