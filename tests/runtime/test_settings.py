"""Every key of the setup's runtime section reaches llama.cpp: read back from it, or from its log."""

import dataclasses
import time
from typing import Any

import pytest

from workbench.errors import BadFile, BadRequest, CannotRun
from workbench.runtime import memory
from workbench.runtime.cost import COSTS, cost_between, cost_of
from workbench.setup import KV_TYPES, Runtime, Setup


def load(make_host, path, **runtime):
    host = make_host(path, runtime=runtime)
    info = host.load()
    while not any("reserve took" in line for line in host.log):  # the log comes by a pipe of its own
        time.sleep(0.01)
    return info, "\n".join(host.log)


TWO = ["rpc:local", "rpc:local"]


def holder(info):
    """The device that holds the KV cache of the tiny model's one layer."""
    place = next(name for name in info["buffers_mib"] if name.endswith(" KV"))
    return next(device["name"] for device in info["available_devices"] if device["description"] in place)


READ_BACK: list[Any] = [
    ({"n_ctx": 300}, lambda i, log: i["n_ctx"] == 512),  # llama.cpp rounds up to a multiple of 256
    ({}, lambda i, log: i["n_ctx"] == i["n_ctx_train"] == 512),
    ({"n_batch": 64}, lambda i, log: (i["n_batch"], i["n_ubatch"]) == (64, 64)),
    ({"n_batch": 128, "n_ubatch": 32}, lambda i, log: (i["n_batch"], i["n_ubatch"]) == (128, 32)),
    ({"n_threads": 1}, lambda i, log: (i["n_threads"], i["n_threads_batch"]) == (1, 1)),
    ({"n_threads": 3}, lambda i, log: (i["n_threads"], i["n_threads_batch"]) == (3, 3)),
    ({"n_gpu_layers": 2}, lambda i, log: i["model_params"]["n_gpu_layers"] == 2),
    ({"n_gpu_layers": -1}, lambda i, log: i["model_params"]["n_gpu_layers"] == -1),
    ({"split_mode": "none"}, lambda i, log: i["model_params"]["split_mode"] == 0),
    ({"main_gpu": 1}, lambda i, log: i["model_params"]["main_gpu"] == 1),
    ({"tensor_split": [1, 0], "devices": TWO, "n_gpu_layers": -1}, lambda i, log: holder(i) == "RPC0"),
    ({"tensor_split": [0, 1], "devices": TWO, "n_gpu_layers": -1}, lambda i, log: holder(i) == "RPC1"),
    ({"main_gpu": 1, "split_mode": "none", "devices": TWO, "n_gpu_layers": -1}, lambda i, log: holder(i) == "RPC1"),
    ({"rope_scaling": "linear"}, lambda i, log: i["context_params"]["rope_scaling_type"] == 1),
    ({"rope_scaling": "none", "rope_freq_scale": 0.5}, lambda i, log: "freq_scale            = 1" in log),
    ({"yarn_ext_factor": 0.5}, lambda i, log: i["context_params"]["yarn_ext_factor"] == 0.5),
    ({"yarn_attn_factor": 1.5}, lambda i, log: i["context_params"]["yarn_attn_factor"] == 1.5),
    ({"yarn_beta_fast": 16.0}, lambda i, log: i["context_params"]["yarn_beta_fast"] == 16.0),
    ({"yarn_beta_slow": 2.0}, lambda i, log: i["context_params"]["yarn_beta_slow"] == 2.0),
    ({"yarn_orig_ctx": 256}, lambda i, log: i["context_params"]["yarn_orig_ctx"] == 256),
    ({"flash_attn": False}, lambda i, log: "flash_attn            = disabled" in log),
    ({"flash_attn": True}, lambda i, log: "flash_attn            = enabled" in log),
    ({"flash_attn": "auto"}, lambda i, log: "flash_attn            = auto" in log),
    ({"offload_kqv": False}, lambda i, log: i["context_params"]["offload_kqv"] is False),
    ({"offload_kqv": True}, lambda i, log: i["context_params"]["offload_kqv"] is True),
    ({"op_offload": False}, lambda i, log: i["context_params"]["op_offload"] is False),
    ({"op_offload": True}, lambda i, log: i["context_params"]["op_offload"] is True),
    ({"use_mmap": True}, lambda i, log: "CPU_Mapped model buffer size" in log),
    ({"use_mmap": False}, lambda i, log: "CPU model buffer size" in log),
    ({"use_mlock": True}, lambda i, log: "load_mode = mmap+mlock" in log or "load_mode = mmap_mlock" in log),
    ({"use_mlock": True, "use_mmap": False}, lambda i, log: "load_mode = mlock" in log),
    ({"use_extra_bufts": False}, lambda i, log: i["model_params"]["use_extra_bufts"] is False),
    ({"rope_freq_base": 12345.0}, lambda i, log: "freq_base             = 12345.0" in log),
    ({"rope_freq_scale": 0.5}, lambda i, log: "freq_scale            = 0.5" in log),
    ({"devices": []}, lambda i, log: i["n_ctx"] > 0),
    ({"devices": ["CPU"]}, lambda i, log: i["n_ctx"] > 0),
]


@pytest.mark.parametrize(("runtime", "reached"), READ_BACK, ids=[str(case[0]) for case in READ_BACK])
def test_a_setting_reaches_llama_cpp(make_host, tiny_model, runtime, reached):
    info, log = load(make_host, tiny_model, **runtime)
    assert reached(info, log), log


@pytest.mark.parametrize("kind", KV_TYPES)
def test_kv_cache_types(make_host, tiny_model, kind):
    if kind in ("f32", "f16", "bf16"):
        info, log = load(make_host, tiny_model, type_k=kind, type_v=kind, flash_attn=True)
        assert (info["type_k"], info["type_v"]) == (kind, kind)
        assert f"K ({kind})" in log
        assert f"V ({kind})" in log
        return
    # The tiny model's heads are narrower than a block of a quantised type: said before anything starts.
    host = make_host(tiny_model, runtime={"type_k": kind})
    with pytest.raises(CannotRun, match=rf"type_k is {kind}, whose block size is 32 .* is 16 wide"):
        host.load()
    assert host.pid is None


@pytest.mark.model
def test_quantised_kv_cache_of_the_demo_model(make_host, demo_model):
    info, log = load(make_host, demo_model, type_k="q8_0", type_v="q4_0", n_ctx=256)
    assert (info["type_k"], info["type_v"]) == ("q8_0", "q4_0")
    assert "K (q8_0)" in log
    assert "V (q4_0)" in log


def test_no_runtime_key_is_without_a_test():
    tested = {key for runtime, _ in READ_BACK for key in runtime} | {"type_k", "type_v"}
    assert tested == {field.name for field in dataclasses.fields(Runtime)}


def test_an_unknown_device_lists_those_present(make_host, tiny_model):
    host = make_host(tiny_model, runtime={"devices": ["CUDA7"]})
    with pytest.raises(BadRequest, match="'CUDA7'; this build and machine have CPU"):
        host.load()


# What a change costs


@pytest.mark.parametrize(
    ("change", "cost"),
    [
        ({"sampling.temperature": 1.0}, "nothing"),
        ({"template.source": "text:x"}, "nothing"),
        ({"tokenizer.parse_special": False}, "nothing"),
        ({"parser": "plain"}, "nothing"),
        ({"runtime.n_threads": 1}, "nothing"),
        ({"metadata.tokenizer.chat_template": "x"}, "nothing"),
        ({"metadata.tokenizer.chat_template.tool_use": "x"}, "nothing"),
        ({"runtime.n_ctx": 256}, "context"),
        ({"runtime.type_k": "f32"}, "context"),
        ({"runtime.flash_attn": True}, "context"),
        ({"runtime.use_mmap": False}, "reload"),
        ({"runtime.n_gpu_layers": 1}, "reload"),
        ({"runtime.devices": ["CPU"]}, "reload"),
        ({"runtime.split_mode": "none"}, "reload"),
        ({"runtime.main_gpu": 1}, "reload"),
        ({"runtime.tensor_split": [1, 2]}, "reload"),
        ({"runtime.tensor_split": None, "runtime.split_mode": "layer"}, "nothing"),  # the defaults, now said
        ({"runtime.rope_scaling": "yarn"}, "context"),
        ({"runtime.yarn_orig_ctx": 256}, "context"),
        ({"metadata.tokenizer.ggml.add_bos_token": True}, "reload"),
        ({"model": "other.gguf"}, "reload"),
        ({"runtime.n_batch": 512}, "nothing"),  # the default, now said
        ({"runtime.n_ctx": 256, "runtime.use_mmap": False}, "reload"),
    ],
)
def test_cost_of_a_change(change, cost):
    base = Setup(model="a.gguf")
    assert cost_between(base, base.replace(**change)) == cost


def test_threads_cost_a_reload_where_a_server_of_our_own_computes_with_them():
    base = Setup(model="a.gguf").replace(**{"runtime.n_threads": 1})
    served = base.replace(**{"runtime.devices": ["rpc:local"]})
    assert cost_between(base, base.replace(**{"runtime.n_threads": 2})) == "nothing"
    assert cost_between(served, served.replace(**{"runtime.n_threads": 2})) == "reload"


def test_every_setting_has_a_cost():
    for name in Setup(model="a").flat():
        assert cost_of(name) in ("nothing", "context", "reload")
    assert cost_of("something.new") == "reload"
    assert set(COSTS.values()) == {"nothing", "context", "reload"}


def test_a_change_costs_what_the_table_says(make_host, tiny_model):
    host = make_host(tiny_model)
    host.load()
    pid = host.pid

    def counts():
        return sum("loading model tensors" in x for x in host.log), sum("constructing" in x for x in host.log)

    assert counts() == (1, 1)
    assert host.use(host.setup.replace(**{"runtime.n_threads": 1})) == "nothing"
    assert host.load()["n_threads"] == 1
    assert counts() == (1, 1)
    assert host.use(host.setup.replace(**{"runtime.n_ctx": 256})) == "context"
    assert host.load()["n_ctx"] == 256
    assert (counts(), host.pid) == ((1, 2), pid)
    assert host.use(host.setup.replace(**{"runtime.use_mmap": False})) == "reload"
    host.load()
    assert counts() == (2, 3)
    assert host.pid != pid


@pytest.mark.parametrize(
    ("asked", "words"), [(33, r"256 tokens \(n_ctx 33, which llama.cpp rounds up\)"), (256, "256 tokens;")]
)
def test_a_rounded_context_names_both_numbers(make_host, tiny_model, asked, words):
    host = make_host(tiny_model, runtime={"n_ctx": asked})
    info = host.load()
    assert (info["n_ctx_asked"], info["n_ctx"]) == (asked, 256)
    assert len(host.score([10] * 100)) == 100  # as llama-server: what was rounded up can be used
    with pytest.raises(CannotRun, match=f"1 more than the context of {words}"):
        host.score([10] * 257)


# Memory and files


def test_a_giant_context_is_refused_before_it_is_allocated(make_host, tiny_model):
    host = make_host(tiny_model, runtime={"n_ctx": 2**31 - 1})
    with pytest.raises(
        CannotRun, match=r"does not fit in memory: it needs .* for the KV cache of 2,147,483,648 tokens"
    ):
        host.load()
    assert host.tokenize("the")
    host.use(host.setup.replace(**{"runtime.n_ctx": 256}))
    host.load()
    host.use(host.setup.replace(**{"runtime.n_ctx": 2**31 - 1}))
    with pytest.raises(CannotRun, match="does not fit in memory"):
        host.score([10])


def test_memory_that_is_available():
    free = memory.available()
    assert free is None or 1 << 20 < free < 1 << 50


def test_a_bad_file_is_told_before_anything_starts(make_host, tmp_path):
    host = make_host(tmp_path / "none.gguf")
    with pytest.raises(BadFile, match="does not exist"):
        host.tokenize("a")
    assert host.pid is None
    from workbench.runtime.host import Host

    with pytest.raises(BadRequest, match="has no model"):
        Host(Setup()).tokenize("a")
