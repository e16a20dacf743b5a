"""Hundreds of live swaps of the settings, in one host and in the lab: right results, no leak, nothing left behind."""

import gc
import os
import random
import tempfile

import psutil
import pytest
from ipywidgets import Widget

from tests.robust.conftest import files_in
from workbench.data import toolsmith
from workbench.errors import WorkbenchError
from workbench.gguf.altered import KEPT_COPIES
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.setup import KV_TYPES, Setup
from workbench.trace import trace
from workbench.widgets import runtime_lab

pytestmark = [pytest.mark.model, pytest.mark.slow]

THOROUGH = os.environ.get("WORKBENCH_TESTS") == "thorough"
SWAPS, SETUPS, SETTLED = (300, 60, 100) if THOROUGH else (90, 30, 40)
LAB_SETUPS = 30 if THOROUGH else 15
CONTEXTS = 900  # a heap settles slowly
MOST_GROWTH = 1.05
TEXT = "def add(a, b):\n    return a + b\n\n<|end|>What is 17 more than 3?" * 3
CONTEXT = {  # what a new context changes; None: not set
    "type_k": (None, *KV_TYPES),
    "type_v": (None, *KV_TYPES),
    "flash_attn": (None, True, True, False),
    "n_batch": (None, 64, 16),
    "n_ubatch": (None, 32, 8),
    "n_ctx": (None, 256, 512),
    "offload_kqv": (None, False),
    "op_offload": (None, False),
    "rope_freq_base": (None, None, 10_000.0),
    "rope_freq_scale": (None, None, 0.5),
    "rope_scaling": (None, None, "yarn"),
    "n_threads": (1, 2),
}
RELOAD = {
    "n_gpu_layers": (None, 2, -1),
    "devices": (None, ["rpc:local"]),
    "use_extra_bufts": (None, False),
    "use_mmap": (None, False),
}
METADATA = (
    {},
    {"tokenizer.ggml.add_bos_token": False},
    {"tokenizer.ggml.pre": "gpt-2"},  # by an altered copy, as the next
    {"tokenizer.ggml.token_type": [1] * 1024},
)


def drawn(rng, models, choices, metadata):
    runtime = {name: rng.choice(values) for name, values in choices.items()}
    return Setup.from_dict({"model": str(rng.choice(models)), "runtime": runtime, "metadata": rng.choice(metadata)})


def asked(host):
    """What a session asks for; an error is a result like any other."""
    try:
        tokens = host.tokenize(TEXT)
        scores = host.score(tokens.ids)
    except WorkbenchError as error:
        return f"{type(error).__name__}: {error}"
    return tokens.ids.tobytes(), *(getattr(scores, name).tobytes() for name in scores.ARRAYS)


def alone(setup):
    """The same of a host that has seen nothing else."""
    with Host(setup) as host:
        return asked(host)


class Held:
    """What the kernel holds: bytes of memory, open files, threads."""

    def __init__(self):
        gc.collect()
        process = psutil.Process()
        self.memory, self.files = process.memory_info().rss, process.num_fds()
        self.threads = process.num_threads()

    def require_no_more_than(self, before):
        for name, value in vars(self).items():
            print(f"kernel, {name}: {getattr(before, name):,} at swap {SETTLED}, {value:,} at the end")
        assert self.memory < before.memory * MOST_GROWTH
        assert self.files <= before.files + 4  # pipes of a host, or none
        assert self.threads <= before.threads + 2


def test_swaps_of_every_kind(tmp_path, cache, children, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    models = [toolsmith(), *(quantise(toolsmith(), tmp_path / f"{kind}.gguf", kind) for kind in ("Q4_0", "Q8_0"))]
    rng = random.Random(6)
    setups = [drawn(rng, models, CONTEXT | RELOAD, METADATA) for _ in range(SETUPS)]
    found, costs = {}, []
    with Host(setups[0]) as host:
        for swap in range(SWAPS):
            setup = setups[swap] if swap < SETUPS else rng.choice(setups)
            costs.append(host.use(setup))
            result = asked(host)
            assert found.setdefault(setup, result) == result, setup
            servers = list(setup.runtime.devices or ()) == ["rpc:local"]
            assert len(children()) <= 1 + servers  # a setup that is refused starts none
            if swap == SETTLED:
                before = Held()
        Held().require_no_more_than(before)
    assert children() == []
    refused = [result for result in found.values() if isinstance(result, str)]
    print(f"costs: {[(cost, costs.count(cost)) for cost in sorted(set(costs))]}, {len(refused)} setups refused")
    assert len(refused) < SETUPS / 2
    assert files_in(scratch) == []
    copies = files_in(cache / "altered")
    assert len(copies) <= max(KEPT_COPIES, 2 * 3 * 2)  # with weights and without, three models, two changes
    assert all(name.endswith(".gguf") for name in copies)
    for setup, result in found.items():
        assert alone(setup) == result, setup


def test_swaps_in_the_runtime_lab(children, monkeypatch):
    """As its controls make them: each setup gives what it gave before, and what a host of its own gives."""
    drawn_widgets: dict[str, Widget] = {}
    monkeypatch.setattr("ipywidgets.widgets.widget._instances", drawn_widgets)
    rng = random.Random(8)
    pool = [{name: rng.choice(values) for name, values in (CONTEXT | RELOAD).items()} for _ in range(LAB_SETUPS)]
    pool = [
        {name: value for name, value in one.items() if name != "devices"} | {"rpc": bool(one["devices"])}
        for one in pool
    ]
    first = Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1}})
    found, states, sizes = {}, [], []
    lab = runtime_lab(request={"messages": [{"role": "user", "content": TEXT}], "max_tokens": 8}, a=first)
    try:
        for swap in range(SWAPS):
            lab.change("b", **(pool[swap] if swap < LAB_SETUPS else rng.choice(pool)))
            assert lab.wait(120)
            assert lab.trouble == ""
            if lab.errors["b"]:
                states.append("refused")
            else:
                side = lab.result.b
                assert side.setup == lab._read()[1]["b"]
                states.append(side.state)
                result = shown(side.trace) if side.failed is None else side.error
                assert found.setdefault(side.setup, result) == result, side.setup
            if swap in (SETTLED, SWAPS - 1):
                sizes.append((Held(), len(drawn_widgets)))
        (before, widgets), (held, widgets_now) = sizes
        held.require_no_more_than(before)
        assert widgets_now <= widgets
    finally:
        lab.close()
    assert [child for child in children() if "workbench.runtime" in " ".join(child.cmdline())] == []
    assert drawn_widgets == {}
    print(f"sides: {[(state, states.count(state)) for state in sorted(set(states))]}")
    assert states.count("loaded") > SWAPS / 2
    for setup, result in found.items():
        request = {"messages": [{"role": "user", "content": TEXT}]}
        assert isinstance(result, str) or shown(trace(request, setup)) == result, setup


def shown(found):
    """What a trace found, but for the time it took."""
    return (
        found.tokens.ids.tobytes(),
        *(getattr(found.scores, n).tobytes() for n in found.scores.ARRAYS),
        found.generation.text,
    )


def test_new_contexts_in_one_process(children):
    """The heap grows with the largest contexts so far: it has settled when each was there some ten times."""
    rng = random.Random(7)
    reference = Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1}})
    setups = [reference, *(drawn(rng, [toolsmith()], CONTEXT, ({},)) for _ in range(60))]
    found, sizes = {}, []
    with Host(reference) as host:
        host.load()
        process = psutil.Process(host.pid)
        for swap in range(CONTEXTS):
            setup = reference if swap % 50 == 0 else rng.choice(setups)
            assert host.use(setup) in ("nothing", "context")
            result = asked(host)
            assert found.setdefault(setup, result) == result, setup
            if swap % 50 == 0:
                sizes.append(process.memory_info().rss)
        host.use(reference)
        assert asked(host) == found[reference]
        assert host.pid == process.pid
        sizes.append(process.memory_info().rss)
        print(f"host, MiB each 50 swaps: {[round(size / 2**20, 1) for size in sizes]}")
        assert sizes[-1] < sizes[2 * CONTEXTS // 3 // 50] * MOST_GROWTH
        assert len(children()) == 1
    assert alone(reference) == found[reference]
