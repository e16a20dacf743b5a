"""The exercises of the notebook on offload and backends: each check runs what was answered and says what came of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from workbench.conversation import Conversation
from workbench.damage.tasks import tasks
from workbench.data import demo_model, toolsmith
from workbench.exercises.checked import Checked
from workbench.floor import noise_floor
from workbench.lockstep import score_both
from workbench.runtime.memory import size
from workbench.runtime.memory_estimate import MIB, estimate
from workbench.runtime.quantise import quantised
from workbench.setup import Setup

ASKED = "call-176"  # of toolsmith's held-out requests
ROOM_MIB = 60
MOST_LAYERS = 31  # of the demo model: thirty, and the output layer
# What three people changed about the setup `plain()`.
CHANGES: dict[str, Any] = {"n_ubatch": 1, "use_mmap": False, "type_k": "q8_0"}


def on_device(n_gpu_layers: int) -> Setup:
    """The demo model with so many layers on a device of its own."""
    settings = {"runtime.devices": ["rpc:local"], "runtime.n_gpu_layers": n_gpu_layers}
    return Setup(model=str(demo_model())).replace(**settings)


def ask() -> Conversation:
    """A request that toolsmith answers with the right call of a tool."""
    return next(task.conversation for task in tasks() if task.id == ASKED)


def server() -> Setup:
    """Toolsmith as one program runs it."""
    settings = {"flash_attn": "auto", "n_batch": 2048, "n_ctx": 1024, "use_mmap": True, "op_offload": True}
    return _toolsmith(settings)


def script() -> Setup:
    """Toolsmith as another program runs it."""
    settings = {"flash_attn": False, "n_batch": 256, "n_ctx": 512, "use_mmap": False, "op_offload": False}
    return _toolsmith(settings)


def plain() -> Setup:
    """Toolsmith without flash attention."""
    return _toolsmith({"flash_attn": False})


def packed() -> Setup:
    """Toolsmith in Q4_0, whose weights llama.cpp repacks for the processor, without flash attention."""
    return _toolsmith({"flash_attn": False}).replace(model=str(quantised(toolsmith(), "Q4_0")))


def _toolsmith(settings: dict[str, Any]) -> Setup:
    return Setup.from_dict({"model": str(toolsmith()), "runtime": settings | {"n_threads": 1}})


def fills_the_room(answer: Any) -> Checked:
    """Offload, exercise 1: the most layers whose weights fit into `ROOM_MIB` of a device."""
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer <= MOST_LAYERS:
        return Checked(False, f"answer_1 is no number of layers from 0 to {MOST_LAYERS}")
    taken = _weights(answer)
    if taken > ROOM_MIB * MIB:
        return Checked(False, f"{answer} layers have {size(taken)} of weights on the device, more than {ROOM_MIB} MiB")
    if answer < MOST_LAYERS and (more := _weights(answer + 1)) <= ROOM_MIB * MIB:
        return Checked(False, f"{answer} fit, and {answer + 1} do, too: {size(more)}")
    first = size(_weights(1))
    return Checked(True, f"{size(taken)}; the first that moves is the output matrix, {first} here, and no layer at all")


@cache
def _weights(n_gpu_layers: int) -> int:
    found = estimate(on_device(n_gpu_layers))
    return sum(part.estimated or 0 for part in found.parts if part.device != "CPU" and part.kind == "weights")


def explains_the_gap(answer: Any) -> Checked:
    """Offload, exercise 2: the one setting that makes `server()` and `script()` give other numbers."""
    changes = server().diff(script())
    names = [name.removeprefix("runtime.") for name in changes]
    if not isinstance(answer, str) or answer not in names:
        return Checked(False, f"answer_2 is none of the settings that differ: {', '.join(names)}")
    name = f"runtime.{answer}"
    alike = score_both(ask(), server(), script().replace(**{name: changes[name][0]}))
    if alike.kl.any():
        return Checked(False, f"with {answer} alike a mean KL of {alike.mean_kl:.1e} nats is left")
    return Checked(True, f"with {answer} alike not one number differs; the other {len(names) - 1} settings change none")


def is_more_than_noise(answer: Any) -> Checked:
    """Offload, exercise 3: which of `CHANGES` moves the numbers of `plain()` by more than noise does."""
    if not isinstance(answer, str) or answer not in CHANGES:
        return Checked(False, f"answer_3 is none of {', '.join(CHANGES)}")
    floor = noise_floor(plain())
    found = score_both(ask(), plain(), plain().replace(**{f"runtime.{answer}": CHANGES[answer]}), floor=floor)
    words = f"{answer}: mean KL {found.mean_kl:.1e} nats, and the floor is {floor.mean_kl:.1e}"
    if not found.beyond_floor:
        return Checked(False, words)
    return Checked(True, f"{words}: eight bits a key are fewer than sixteen, whatever the batch")
