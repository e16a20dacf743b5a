"""What a change of the setup costs the model's process. This table is the only place that decides it."""

from __future__ import annotations

from typing import Any, Literal

from workbench.runtime.rpc import LOCAL
from workbench.setup import Setup

Cost = Literal["nothing", "context", "reload"]
ORDER: tuple[Cost, ...] = ("nothing", "context", "reload")

# Dotted names of the setup, longest match first. "nothing": the next call simply uses the new value.
# "context": llama_context_params; the weights stay. "reload": llama_model_params or another file.
COSTS: dict[str, Cost] = {
    "model": "reload",
    "metadata": "reload",
    "metadata.tokenizer.chat_template": "nothing",  # read by the template engines, never by llama.cpp's model
    "template": "nothing",
    "tokenizer": "nothing",
    "sampling": "nothing",
    "parser": "nothing",
    "runtime": "context",
    "runtime.n_threads": "nothing",  # llama_set_n_threads; see `cost_of`
    "runtime.n_gpu_layers": "reload",
    "runtime.use_mmap": "reload",
    "runtime.use_mlock": "reload",
    "runtime.use_extra_bufts": "reload",
    "runtime.devices": "reload",
    "runtime.split_mode": "reload",
    "runtime.main_gpu": "reload",
    "runtime.tensor_split": "reload",
}


def cost_of(name: str, setup: Setup | None = None) -> Cost:
    """What a change of the setting with this dotted name costs, in `setup` where that matters.

    An RPC server of our own is started with its number of threads: with one, another number costs a reload.
    """
    if name == "runtime.n_threads" and setup is not None and LOCAL in (setup.runtime.devices or ()):
        return "reload"
    while name not in COSTS:
        name, _, last = name.rpartition(".")
        if not last:
            return "reload"
    return COSTS[name]


def cost_between(old: Setup, new: Setup) -> Cost:
    """The dearest of all settings that differ."""
    costs = [cost_of(name, new) for name in old.diff(new)]
    return max(costs, key=ORDER.index, default="nothing")


def of_context(runtime: dict[str, Any], *, tapped: bool = False) -> dict[str, Any]:
    """What a context is made with: its settings of the section `runtime`, and whether it shows its layers' outputs."""
    return {name: value for name, value in runtime.items() if cost_of(f"runtime.{name}") == "context"} | {
        "tapped": tapped
    }


def part(setup: Setup, cost: Cost) -> dict[str, Any]:
    """The settings, by dotted name, whose change costs `cost`."""
    return {name: value for name, value in setup.flat().items() if cost_of(name, setup) == cost}
