"""Differences that a backend makes and that have fooled somebody: the lab tells each from the others and from noise."""

import functools
import json

import numpy as np
import pytest

from workbench import data
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.setup import Setup

pytestmark = pytest.mark.model

TEXT = "def greet(name: str) -> str:\n    return f'Hello, {name}'\n\nprint(greet('Ada'))\n" * 3


@pytest.fixture(scope="module")
def q4_0(tmp_path_factory):
    return quantise(data.toolsmith(), tmp_path_factory.mktemp("traps") / "q4_0.gguf", "Q4_0")


def log_probabilities(host):
    """(n, v), natural logarithms, double precision."""
    ids = host.tokenize(TEXT).ids
    scores = host.score(ids, logits_at=range(len(ids)))
    logits = np.array([row for _, row in scores.logits], np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@functools.cache
def measured(path, runtime):
    with Host(Setup.from_dict({"model": str(path), "runtime": json.loads(runtime)})) as host:
        return log_probabilities(host)


class Divergence:
    """Of two stacks on the same tokens: mean KL in nats, share of equal first places."""

    def __init__(self, path, first, second):
        a, b = (measured(path, json.dumps(settings)) for settings in (first, second))
        self.identical = np.array_equal(a, b)
        self.kl = float((np.exp(a) * (a - b)).sum(axis=1).mean())
        self.same_top = float((a.argmax(axis=1) == b.argmax(axis=1)).mean())

    def __repr__(self):
        return f"KL {self.kl:.2e} nats, same first place {self.same_top:.1%}, identical {self.identical}"


PLAIN = {"use_extra_bufts": False, "flash_attn": False, "n_threads": 1}


def test_the_floor_is_the_same_setup_twice_and_another_batch_shape(make_host):
    twice = Divergence(data.toolsmith(), PLAIN, PLAIN | {"n_batch": 512})  # the default, said or not
    shape = Divergence(data.toolsmith(), PLAIN, PLAIN | {"n_batch": 1})
    print(f"\ntwice: {twice}; n_batch 512 against 1: {shape}")
    assert twice.identical
    assert not shape.identical
    assert shape.kl < 1e-4
    assert shape.same_top > 0.99


def test_repacking_changes_the_logits_of_q4_0_above_the_floor_and_of_f16_not_at_all(make_host, q4_0):
    repacked = PLAIN | {"use_extra_bufts": True}
    found = Divergence(q4_0, PLAIN, repacked)
    floor = Divergence(data.toolsmith(), PLAIN, PLAIN | {"n_batch": 1})
    print(f"\nrepacking, Q4_0: {found}; floor: {floor}")
    assert not found.identical
    assert found.kl > 10 * floor.kl
    assert Divergence(data.toolsmith(), PLAIN, repacked).identical


def test_flash_attention_changes_the_logits_and_the_answer_says_which_was_used(make_host):
    on = PLAIN | {"flash_attn": True}
    found = Divergence(data.toolsmith(), PLAIN, on)
    print(f"\nflash attention: {found}")
    assert not found.identical
    auto = make_host(data.toolsmith(), runtime=PLAIN | {"flash_attn": "auto"})
    assert auto.load()["flash_attn"] == "auto"
    assert any("Flash Attention enabled" in line for line in auto.log)
    assert Divergence(data.toolsmith(), on, PLAIN | {"flash_attn": "auto"}).identical


def test_no_layers_on_a_device_that_is_present_is_the_cpu_alone_where_it_takes_no_batches(make_host):
    """A GPU would take them (its capability `offload_op`, see test_placement); an RPC server does not."""
    present = PLAIN | {"devices": ["rpc:local"], "n_gpu_layers": 0}
    host = make_host(data.toolsmith(), runtime=present)
    info = host.load()
    assert info["devices"] == ["RPC0"]
    assert info["notes"] == []
    assert not [name for name in info["buffers_mib"] if name.startswith("RPC")]
    for op_offload in (True, False):
        found = Divergence(data.toolsmith(), PLAIN, present | {"op_offload": op_offload})
        assert found.identical, (op_offload, found)


def test_yarn_changes_the_logits_and_leaves_no_trace_in_the_next_context(make_host):
    yarn = PLAIN | {"rope_scaling": "yarn", "rope_freq_scale": 0.5}
    linear = PLAIN | {"rope_scaling": "linear", "rope_freq_scale": 0.5}
    assert not Divergence(data.toolsmith(), PLAIN, yarn).identical
    assert not Divergence(data.toolsmith(), linear, yarn).identical
    for name, value in [("yarn_ext_factor", 0.1), ("yarn_beta_fast", 4.0), ("yarn_beta_slow", 3.0)]:
        assert not Divergence(data.toolsmith(), yarn, yarn | {name: value}).identical, name
    host = make_host(data.toolsmith(), runtime=yarn)
    before = log_probabilities(host)
    assert host.use(host.setup.replace(**{"runtime.rope_scaling": None, "runtime.rope_freq_scale": None})) == "context"
    assert np.array_equal(log_probabilities(host), measured(data.toolsmith(), json.dumps(PLAIN)))
    assert host.info()["n_ctx"] == 1024
    host.use(host.setup.replace(**{f"runtime.{name}": value for name, value in yarn.items()}))
    assert np.array_equal(log_probabilities(host), before)


def test_the_attention_factor_counts_without_the_extrapolation_factor_alone(make_host):
    yarn = PLAIN | {"rope_scaling": "yarn", "rope_freq_scale": 0.5}
    assert Divergence(data.toolsmith(), yarn, yarn | {"yarn_attn_factor": 1.5}).identical
    info = make_host(data.toolsmith(), runtime=yarn | {"yarn_attn_factor": 1.5}).load()
    assert info["notes"] == ["yarn_attn_factor changes nothing: llama.cpp reckons it, yarn_ext_factor not being 0"]
    off = yarn | {"yarn_ext_factor": 0.0}
    assert not Divergence(data.toolsmith(), off, off | {"yarn_attn_factor": 1.5}).identical
