"""Which device takes what, and what is refused because it cannot fit: reckoned, so any machine can be supposed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gguf import tiny
from workbench import data
from workbench.errors import BadRequest, CannotRun
from workbench.gguf.header import read_header
from workbench.runtime.devices import OFFLOADS, Device
from workbench.runtime.placement import CPU, Layout, amounts, layout, places, require_fit, taking_part
from workbench.runtime.refusals import notes, refuse, refuse_devices
from workbench.setup import Setup

GIB = 1 << 30


def device(name, free=8 * GIB, *, kind="GPU", can=(), here=False, id_=None):
    return Device(name, "", kind, id_, free, free, can, here)


def settings(**runtime):
    return Setup(model="m").replace(**{f"runtime.{key}": v for key, v in runtime.items()}).effective()["runtime"]


PARTS = Layout(4096, GIB, (GIB,) * 10, GIB, 0, (GIB // 2,) * 10)
GPU, SECOND = device("CUDA0"), device("CUDA1")


@pytest.mark.parametrize(
    ("n_gpu_layers", "wanted"),
    [
        (0, [CPU] * 5),
        (1, [CPU] * 4 + ["CUDA0"]),  # the output layer is the first to go
        (2, [CPU] * 3 + ["CUDA0"] * 2),
        (5, ["CUDA0"] * 5),
        (-1, ["CUDA0"] * 5),
        (99, ["CUDA0"] * 5),
    ],
)
def test_layers_go_from_the_end(n_gpu_layers, wanted):
    assert list(places(4, settings(n_gpu_layers=n_gpu_layers), [GPU])) == wanted
    assert list(places(4, settings(n_gpu_layers=n_gpu_layers), [])) == [CPU] * 5


def test_shares_are_those_that_are_set_or_the_free_memory():
    asked = settings(n_gpu_layers=-1, tensor_split=[1, 3])
    assert list(places(7, asked, [GPU, SECOND])) == ["CUDA0"] * 2 + ["CUDA1"] * 6
    uneven = [device("CUDA0", 6 * GIB), device("CUDA1", 2 * GIB)]
    assert list(places(7, settings(n_gpu_layers=-1), uneven)) == ["CUDA0"] * 6 + ["CUDA1"] * 2


@given(
    st.integers(1, 80),
    st.integers(-1, 90),
    st.lists(st.floats(0, 10, width=32), min_size=1, max_size=5).filter(any),
)
def test_every_layer_has_one_place_and_the_shares_keep_their_order(n_layer, n_gpu_layers, split):
    devices = [device(f"D{i}") for i in range(len(split))]
    where = places(n_layer, settings(n_gpu_layers=n_gpu_layers, tensor_split=split), devices)
    moved = n_layer + 1 if n_gpu_layers < 0 else min(n_gpu_layers, n_layer + 1)
    assert len(where) == n_layer + 1
    assert where[: n_layer + 1 - moved] == (CPU,) * (n_layer + 1 - moved)
    order = [int(name[1:]) for name in where[n_layer + 1 - moved :]]
    assert order == sorted(order)
    assert all(split[i] for i in order)


@given(st.integers(-1, 12), st.booleans())
def test_nothing_is_lost_or_counted_twice(n_gpu_layers, offload_kqv):
    found = amounts(PARTS, settings(n_gpu_layers=n_gpu_layers, offload_kqv=offload_kqv), [GPU, SECOND])
    assert sum(amount.weights for amount in found.values()) == 12 * GIB
    assert sum(amount.cache for amount in found.values()) == 5 * GIB
    assert offload_kqv or found[CPU].cache == 5 * GIB


def test_tied_embeddings_lie_twice_on_a_device():
    tied = PARTS._replace(tied=GIB)
    assert amounts(tied, settings(n_gpu_layers=0), [GPU])[CPU].weights == 12 * GIB
    assert sum(amount.weights for amount in amounts(tied, settings(n_gpu_layers=1), [GPU]).values()) == 13 * GIB


@pytest.mark.model
def test_a_layout_holds_every_tensor():
    header = read_header(data.toolsmith())
    parts = layout(header, settings())
    assert parts.input + sum(parts.layers) + parts.output == header.weights_bytes
    assert (len(parts.layers), len(parts.cache), parts.tied) == (5, 5, 0)


def test_the_devices_that_llama_cpp_picks_itself():
    cpu, igpu, server = device(CPU, kind=CPU), device("Vulkan1", kind="integrated GPU"), device("RPC0")
    twice = device("Vulkan0", id_="0000:01")
    first = device("CUDA0", id_="0000:01")
    assert taking_part(settings(), None, [cpu, first, twice, igpu, server]) == [server, first]
    assert taking_part(settings(), None, [cpu, igpu, server]) == [server, igpu]
    assert taking_part(settings(), None, [cpu]) == []
    assert taking_part(settings(), [cpu], [cpu, GPU]) == []
    assert taking_part(settings(split_mode="none", main_gpu=1), [GPU, SECOND], []) == [SECOND]


# What cannot fit


def fit(runtime, devices, here=64 * GIB, *, loaded=False, parts=PARTS):
    require_fit("big.gguf", parts, settings(**runtime), devices, here, loaded=loaded)


def test_a_model_that_is_too_large_for_this_machine():
    with pytest.raises(
        CannotRun,
        match=r"does not fit in memory: it needs 12\.0 GiB for weights and 5\.0 GiB for the KV cache of 4,096 tokens, "
        r"and 14\.0 GiB are available; .*; set runtime.n_ctx to at most 1,536, or smaller KV-cache types$",
    ):
        fit({}, [], 14 * GIB)
    fit({}, [], 14 * GIB, parts=PARTS._replace(n_ctx=1536, cache=tuple(c * 1536 // 4096 for c in PARTS.cache)))
    with pytest.raises(CannotRun, match=r"use a smaller file, or free memory$"):
        fit({}, [], 10 * GIB)
    fit({}, [], 10 * GIB, loaded=True)  # the weights are there already
    fit({}, [], None)


def test_a_model_that_is_too_large_for_a_device_says_how_many_layers_would_fit():
    with pytest.raises(CannotRun, match=r"in the memory of CUDA0: .*, and 8\.0 GiB are available") as refused:
        fit({"n_gpu_layers": -1}, [GPU])
    assert refused.value.next_step == "set runtime.n_gpu_layers to at most 5"
    fit({"n_gpu_layers": 5}, [GPU])
    with pytest.raises(CannotRun, match="CUDA0"):
        fit({"n_gpu_layers": 6}, [GPU])


def test_a_server_on_this_machine_shares_its_memory():
    server = device("RPC0", 64 * GIB, here=True)
    fit({"n_gpu_layers": -1}, [server], 18 * GIB)
    with pytest.raises(CannotRun, match=r"does not fit in memory"):
        fit({"n_gpu_layers": -1}, [server], 16 * GIB)


@given(st.integers(0, 11), st.integers(1, 20), st.integers(1, 30))
def test_what_is_proposed_would_fit(n_gpu_layers, on_device, here):
    gpu = device("CUDA0", on_device * GIB)
    try:
        fit({"n_gpu_layers": n_gpu_layers}, [gpu], here * GIB)
    except CannotRun as refused:
        for way in refused.next_step.split(", or "):
            if "n_gpu_layers" in way:
                fit({"n_gpu_layers": int(way.rpartition(" ")[2])}, [gpu], here * GIB)
            elif "n_ctx" in way:
                n_ctx = int(way.rpartition(" ")[2].replace(",", ""))
                smaller = PARTS._replace(n_ctx=n_ctx, cache=tuple(c * n_ctx // 4096 for c in PARTS.cache))
                fit({"n_gpu_layers": n_gpu_layers}, [gpu], here * GIB, parts=smaller)


# What cannot be done, and what is done otherwise than it sounds


@pytest.mark.model
def test_a_quantised_v_cache_needs_flash_attention():
    header = read_header(data.toolsmith())
    with pytest.raises(CannotRun, match=r"type_v is q8_0 and runtime.flash_attn is off: llama.cpp reads a quantised V"):
        refuse(header, settings(type_v="q8_0", flash_attn=False))
    refuse(header, settings(type_v="q8_0", flash_attn=True))
    refuse(header, settings(type_k="q8_0", flash_attn=False))


def test_a_head_that_is_no_multiple_of_a_block(tmp_path):
    header = read_header(tiny.model_file(tmp_path / "tiny.gguf"))
    with pytest.raises(CannotRun, match=r"type_v is q4_0, whose block size is 32 values, and a head .* is 16 wide"):
        refuse(header, settings(type_v="q4_0"))
    refuse(header, settings(type_v="bf16"))


def test_shares_and_a_main_device_that_are_not_there():
    for runtime, words in [
        ({"split_mode": "none", "main_gpu": 2}, "main_gpu is 2 and the devices are CUDA0, CUDA1; accepted are 0 to 1"),
        ({"tensor_split": [1.0]}, "tensor_split has 1 shares and the devices are CUDA0, CUDA1; accepted is one share"),
    ]:
        with pytest.raises(BadRequest, match=words):
            refuse_devices(None, settings(**runtime), [GPU, SECOND])


class Supporting:
    """llama.cpp's answers on a system that maps and locks; the only ones that `notes` asks for."""

    llama_supports_mmap = llama_supports_mlock = staticmethod(lambda: True)


@pytest.mark.parametrize(
    ("runtime", "devices", "words"),
    [
        ({"n_gpu_layers": -1}, [], "n_gpu_layers -1 moves nothing"),
        ({"tensor_split": [1.0]}, [GPU], "tensor_split divides nothing"),
        ({"main_gpu": 1}, [GPU, SECOND], "main_gpu counts only in"),
        ({"n_batch": 64, "n_ubatch": 128}, [], "n_ubatch 128 is cut to n_batch 64"),
        ({}, [device("CUDA0", can=(OFFLOADS,))], "n_gpu_layers 0 is not CPU only: CUDA0 still computes large batches"),
    ],
)
def test_what_settings_do_otherwise_than_they_sound(runtime, devices, words):
    assert [note for note in notes(Supporting, settings(**runtime), devices) if words in note]


def test_settings_that_do_what_they_say_have_no_note():
    able = device("CUDA0", can=(OFFLOADS,))
    assert notes(Supporting, settings(op_offload=False), [able]) == []
    assert notes(Supporting, settings(n_gpu_layers=-1), [able]) == []
    assert notes(Supporting, settings(), []) == []


def test_places_in_single_precision_as_llama_cpp_computes_them():
    # 1/3 + 1/3 in double precision is another boundary than in single precision
    split = [0.1, 0.2, 0.7]
    ends = np.cumsum(np.float32(split), dtype=np.float32) / np.float32(np.sum(np.float32(split)))
    where = places(9, settings(n_gpu_layers=-1, tensor_split=split), [device(f"D{i}") for i in range(3)])
    for i, name in enumerate(where):
        assert name == f"D{int(np.searchsorted(ends, np.float32(i) / np.float32(10), side='right'))}"
