"""What is reckoned before loading is what llama.cpp reports afterwards."""

from types import SimpleNamespace

import pytest

from workbench import data
from workbench.errors import BadRequest
from workbench.runtime.devices import Device, Devices
from workbench.runtime.held import Held
from workbench.runtime.host import Host
from workbench.runtime.log import LogWriter
from workbench.runtime.memory_estimate import MIB, Memory, Part, _tight, estimate
from workbench.runtime.placement import Amount
from workbench.runtime.quantise import quantise
from workbench.setup import Setup
from workbench.views import html_of

REPORTED = 0.01 * MIB  # llama.cpp reports in hundredths of a MiB
SETTINGS = [
    {},
    {"n_ctx": 600, "type_k": "q8_0", "type_v": "q4_0"},
    {"use_mmap": False, "n_ubatch": 64},
    {"devices": ["rpc:local"], "n_gpu_layers": 3},
    {"devices": ["rpc:local"], "n_gpu_layers": -1},
    {"devices": ["rpc:local"], "n_gpu_layers": -1, "offload_kqv": False, "use_mmap": False},
    {"devices": ["rpc:local", "rpc:local"], "n_gpu_layers": -1, "tensor_split": [1, 2]},
]


def both(path, runtime):
    setup = Setup.from_dict({"model": str(path), "runtime": runtime})
    with Host(setup) as host:
        before = estimate(setup, host=host)
        return before, before.beside(host.load())


def check(found):
    """Weights and KV cache within 1 % or what is lost in the report; nothing reported that was not foreseen."""
    for part in found.parts:
        assert part.estimated is not None, part
        if part.kind in ("weights", "KV cache"):
            assert part.reported is not None, part
            assert abs(part.estimated - part.reported) <= max(REPORTED, 0.01 * part.reported), part


@pytest.mark.model
@pytest.mark.parametrize("runtime", SETTINGS, ids=str)
def test_toolsmith(runtime):
    before, found = both(data.toolsmith(), runtime)
    check(found)
    assert {part.kind for part in found.parts} >= {"weights", "KV cache", "compute"}
    assert all(part.reported is None for part in before.parts)
    assert Memory.from_dict(found.to_dict()) == found


@pytest.mark.model
def test_an_estimate_of_another_process_fits_although_its_server_had_another_port():
    setup = Setup.from_dict({"model": str(data.toolsmith()), "runtime": SETTINGS[4]})
    before = estimate(setup)
    with Host(setup) as host:
        check(before.beside(host.load()))


@pytest.mark.model
@pytest.mark.parametrize("runtime", [SETTINGS[0], SETTINGS[3], SETTINGS[4], SETTINGS[6]], ids=str)
def test_the_demo_model(demo_model, runtime):
    check(both(demo_model, runtime)[1])


@pytest.mark.model
@pytest.mark.parametrize("use_extra_bufts", [True, False])
@pytest.mark.parametrize("use_mmap", [True, False])
def test_repacked_weights_have_a_buffer_of_their_own(tmp_path, use_extra_bufts, use_mmap):
    q4 = quantise(data.toolsmith(), tmp_path / "q4_0.gguf", "Q4_0")
    _, found = both(q4, {"use_extra_bufts": use_extra_bufts, "use_mmap": use_mmap})
    check(found)
    buffers = {part.buffer for part in found.parts if part.kind == "weights"}
    assert ("CPU_REPACK" in buffers) == use_extra_bufts


@pytest.mark.model
def test_the_compute_buffer_is_the_one_that_llama_cpp_makes_and_its_error_is_shown():
    _, found = both(data.toolsmith(), {"n_ubatch": 128})
    (compute,) = [part for part in found.parts if part.kind == "compute"]
    assert compute.error == 0.0
    assert compute._replace(reported=compute.estimated // 2).error == pytest.approx(1.0, abs=1e-5)
    assert compute._replace(reported=None).error is None


@pytest.mark.model
def test_asking_loads_nothing():
    with Host(Setup(model=str(data.toolsmith()))) as host:
        estimate(host.setup, host=host)
        assert "buffers_mib" not in host.info()
        before = host.load()["buffers_mib"]
        estimate(host.setup, host=host)
        assert host.info()["buffers_mib"] == before


@pytest.mark.model
def test_what_is_reported_is_of_this_context_not_of_the_one_before():
    setup = Setup.from_dict({"model": str(data.toolsmith()), "runtime": SETTINGS[4]})
    moved = setup.replace(**{"runtime.offload_kqv": False})
    with Host(setup) as host, Host(moved) as fresh:
        host.load()
        host.use(moved)
        places = [[name for name in one.load()["buffers_mib"] if name.endswith(" KV")] for one in (host, fresh)]
    assert places == [["CPU KV"], ["CPU KV"]]


def test_two_buffers_of_one_name_are_added():
    """With a sliding window llama.cpp makes two caches; a file in parts has one buffer of weights for each."""
    log = LogWriter(SimpleNamespace(llama_log_callback=lambda function: function, llama_log_set=lambda *_: None))
    for kind, mib in (("model", 1.5), ("model", 2.25), ("KV", 0.5), ("KV", 0.25), ("compute", 3.0), ("compute", 2.0)):
        log._on_line(2, f"load: CPU {kind} buffer size = {mib} MiB\n".encode(), None)
    assert log.buffers_mib == {"CPU model": 3.75, "CPU KV": 0.75, "CPU compute": 2.0}
    log.forget_context()
    assert log.buffers_mib == {"CPU model": 3.75}


@pytest.mark.model
def test_what_a_process_has_loaded_itself_counts_as_free():
    setup = Setup.from_dict({"model": str(data.toolsmith()), "runtime": {"n_ctx": 2**18, "n_threads": 1}})
    other = setup.replace(**{"runtime.type_k": "q8_0"})
    with Host(setup) as host:
        assert host.held_mib == {}
        host.load()
        assert host.held_mib["CPU KV"] == 640
        assert "CPU_Mapped model" not in host.held_mib
        own, beside = estimate(other, host=host), estimate(other)
    assert own.free("CPU") - beside.free("CPU") > 320 * MIB  # the machine is shared: half of it is enough to see


@pytest.mark.model
def test_what_another_process_would_give_back_counts_as_free():
    setup = Setup(model=str(data.toolsmith()))
    assert estimate(setup, held_mib={"CPU KV": 1e9}).free("CPU") > 1e9 * MIB
    assert estimate(setup, held_mib={"RPC0[10.0.0.9:50052] KV": 1e9}).free("CPU") < 1e9 * MIB


def test_what_is_held_is_given_back_where_it_lies():
    gpu = Device("CUDA0", "", "GPU", None, 3 * MIB, 4 * MIB, (), here=False)
    far = Device("RPC0", "10.0.0.9:50052", "GPU", None, 3 * MIB, 4 * MIB, (), here=False)
    cpu = Device("CPU", "", "CPU", None, 4 * MIB, 8 * MIB, (), here=True)
    buffers = {"CPU KV": 1, "CPU_REPACK model": 2, "RPC1[127.0.0.1:50053] model": 4, "CUDA_Host compute": 8}
    held = Held(buffers | {"CUDA0 KV": 16, "RPC0[10.0.0.9:50052] KV": 32, "RPC7[10.0.0.8:50052] KV": 64})
    assert [device.memory_free for device in held.freed([cpu, gpu, far])] == [19 * MIB, 19 * MIB, 35 * MIB]


@pytest.mark.model
def test_what_cannot_fit_is_told_with_what_would():
    found = estimate(Setup.from_dict({"model": str(data.toolsmith()), "runtime": {"n_ctx": 2**31 - 1}}))
    assert "does not fit in memory" in found.refused
    assert "set runtime.n_ctx to at most" in found.refused
    assert found.total("CPU") > 2**40
    assert "does not fit" in html_of(found)


@pytest.mark.model
def test_the_proposed_context_is_accepted():
    setup = Setup.from_dict({"model": str(data.toolsmith()), "runtime": {"n_ctx": 2**31 - 1}})
    words = estimate(setup).refused.rpartition("n_ctx to at most ")[2]
    n_ctx = int(words.partition(", or")[0].replace(",", "")) // 2  # the machine is shared: leave others their half
    assert estimate(setup.replace(**{"runtime.n_ctx": n_ctx // 256 * 256})).refused == ""


def test_compute_buffers_that_make_a_fit_tight_are_a_note():
    gpu = Device("CUDA0", "", "GPU", None, 3 * MIB, 4 * MIB, (), here=False)
    cpu = Device("CPU", "", "CPU", None, 4 * MIB, 8 * MIB, (), here=True)
    needed = {"CPU": Amount(MIB, MIB), "CUDA0": Amount(MIB, MIB)}
    computed = {("CPU", "CPU", "compute"): MIB, ("CUDA0", "CUDA0", "compute"): 2 * MIB}
    assert list(_tight(needed, computed, Devices((cpu, gpu)))) == [
        "with its compute buffers it needs 4.0 MiB of CUDA0, and 3.0 MiB are free"
    ]
    assert list(_tight(needed, {}, Devices((cpu, gpu)))) == []


@pytest.mark.model
def test_a_device_that_is_not_there():
    setup = Setup.from_dict({"model": str(data.toolsmith()), "runtime": {"devices": ["CUDA7"]}})
    with pytest.raises(BadRequest, match="'CUDA7'; this build and machine have CPU"):
        estimate(setup)


def test_views_escape_what_devices_call_themselves():
    name = "</script><b>\N{PILE OF POO}\udc80"
    hostile = Devices((Device(name, name, "GPU", None, None, None, ("async",), here=False),))
    found = Memory(Setup(), hostile, (Part(name, name, "weights", 1, 2),), (name, name), name, (name,))
    for page in (html_of(hostile), html_of(found), html_of(Devices(())), html_of(Memory(Setup(), Devices(()), (), ()))):
        assert "<b>\N{PILE OF POO}" not in page
        assert "</script>" not in page
    assert len(hostile.to_frame()) == len(found.to_frame()) == 1
    assert Devices.from_dict(hostile.to_dict()) == hostile
