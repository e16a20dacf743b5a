"""Layers on an RPC device, of a quantised model: they really lie there, and compute what the CPU computes."""

import pytest

from workbench.data import toolsmith
from workbench.gguf.header import read_header
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.setup import Setup

pytestmark = pytest.mark.model

IDS = list(range(3, 103))


@pytest.fixture
def q4(tmp_path):
    """Quantised weights are those that the CPU repacks and a server does not; all but the embeddings Q4_0."""
    return quantise(toolsmith(), tmp_path / "q4.gguf", "Q4_0")


def scores_and_buffers(path, **runtime):
    with Host(Setup.from_dict({"model": str(path), "runtime": {"n_threads": 1} | runtime})) as host:
        return host.score(IDS), host.info()["buffers_mib"]


def on_device(buffers, kind):
    return sum(mib for name, mib in buffers.items() if name.startswith("RPC") and name.endswith(kind))


def test_buffers_on_the_device_grow_from_nothing_to_all_and_no_bit_changes(q4):
    n_layer = read_header(q4).n_layer
    on_cpu, _ = scores_and_buffers(q4, use_extra_bufts=False)
    weights, cache = [], []
    for n_gpu_layers in range(n_layer + 2):  # the output layer is the first to move and counts as one
        moved, buffers = scores_and_buffers(q4, devices=["rpc:local"], n_gpu_layers=n_gpu_layers, use_extra_bufts=False)
        assert moved == on_cpu, n_gpu_layers
        weights.append(on_device(buffers, "model"))
        cache.append(on_device(buffers, "KV"))
    assert (weights[0], cache[0]) == (0, 0)
    assert weights == sorted(set(weights))
    assert cache == [0.5 * max(0, n - 1) for n in range(n_layer + 2)]  # MiB
    everything, _ = scores_and_buffers(q4, devices=["rpc:local"], n_gpu_layers=-1, use_extra_bufts=False)
    assert everything == on_cpu


def test_repacking_on_the_cpu_is_the_one_difference(q4):
    """The trap: with repacking on, layers that stay on the CPU compute otherwise than on the server."""
    repacked, _ = scores_and_buffers(q4)
    plain, _ = scores_and_buffers(q4, use_extra_bufts=False)
    moved, _ = scores_and_buffers(q4, devices=["rpc:local"], n_gpu_layers=-1)
    assert repacked != plain
    assert moved == plain
