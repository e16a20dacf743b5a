"""What the runtime lab's page shows: controls with values and costs, where layers would lie, memory before loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.conversation import Conversation
from workbench.errors import Cancelled, WorkbenchError
from workbench.gguf.header import file_state
from workbench.gguf.sizes import n_layer
from workbench.progress import Cancel, Progress
from workbench.runtime.cost import Cost, cost_between, cost_of
from workbench.runtime.host import Host
from workbench.runtime.memory import size
from workbench.runtime.memory_estimate import Memory, estimate
from workbench.setup import Setup
from workbench.versus.result import Side
from workbench.versus.run import is_of
from workbench.views.devices import layers_words
from workbench.views.versus import COSTS
from workbench.widgets.knobs import GROUPS, KNOBS, RPC, Knobs, missing_rpc
from workbench.widgets.payload import clean

SIDES = ("a", "b")
Foreseen = Memory | str | None  # an estimate, or in words why there is none


class Foresight:
    """What each side would take of the devices' memory, asked in a process of its own: what is loaded stays loaded.

    What the side itself has loaded counts as free, for it makes room first; what the other one has counts as taken.
    """

    def __init__(self) -> None:
        self.memory: dict[str, Foreseen] = dict.fromkeys(SIDES)
        self._asked: dict[str, tuple[Any, ...] | None] = dict.fromkeys(SIDES)

    def ask(self, side: str, setup: Setup | None, host: Host | None, *, progress: Progress, cancel: Cancel) -> bool:
        """Estimate `setup`, where that is not known already; whether something changed. Errors: `Cancelled`.

        `host` is the side's own process, None where it has none yet.
        """
        asked = (_state(setup), setup.metadata, setup.runtime) if setup is not None else None
        if asked == self._asked[side]:
            return False
        self.memory[side], self._asked[side] = self._estimated(setup, host, progress, cancel), asked
        return True

    def _estimated(self, setup: Setup | None, host: Host | None, progress: Progress, cancel: Cancel) -> Foreseen:
        """A server that the side's own process has serves no other: that process is asked, or nothing is foreseen."""
        if setup is None:
            return None
        watch: dict[str, Any] = {"progress": progress, "cancel": cancel}
        try:
            if host is None or not _is_connected(host, setup):
                held = host.held_mib if host is not None else {}
                return estimate(setup, held_mib=held, **watch)
            return estimate(setup, host=host, **watch) if host.cost_to(setup) != "reload" else None
        except Cancelled:
            raise
        except WorkbenchError as error:
            return str(error)


def _state(setup: Setup) -> tuple[Any, ...]:
    """Which file it is, and in which state."""
    try:
        return (setup.model, *file_state(str(setup.model)))
    except WorkbenchError:
        return (setup.model,)


def _is_connected(host: Host, setup: Setup) -> bool:
    """Whether the process uses a server elsewhere that the setup names too."""
    return any(f"[{name}]" in buffer for name in setup.runtime.devices or () for buffer in host.held_mib)


def groups() -> list[dict[str, Any]]:
    """The controls in order, each with why this build has it not."""
    return [
        {
            "title": title,
            "knobs": [
                {
                    "name": knob.name,
                    "words": knob.words,
                    "kind": knob.kind,
                    "key": knob.dotted,
                    "unset": knob.unset,
                    "options": [list(pair) for pair in knob.options],
                    "absent": missing_rpc() if knob.name == RPC else "",
                }
                for knob in knobs
            ],
        }
        for title, knobs in GROUPS
    ]


def side_facts(
    knobs: Knobs,
    errors: Mapping[str, str],
    memory: Foreseen,
    shown: Side | None,
    others: Sequence[str],
    takes: Cost = "reload",
) -> dict[str, Any]:
    """One side: what its controls hold and what is wrong there; what it would take of memory, and `takes` to run."""
    header, (setup, _) = knobs.header(), knobs.read()
    return {
        "values": {name: clean(v) if isinstance(v, str) else v for name, v in knobs.values().items()},
        "errors": {name: clean(text) for name, text in errors.items()},
        "costs": {name: COSTS[cost_of(knob.dotted, setup)] for name, knob in KNOBS.items()},
        "n_layer": n_layer(header) if header is not None else 0,
        "state": shown.state if shown is not None else "not loaded yet",
        "pending": COSTS[takes] if setup is not None else "",
        "devices": list(others),
        **(foreseen(memory) | ({"refused": ""} if _runs(setup, shown) else {})),
    }


def pending(setup: Setup | None, request: Conversation | None, shown: Side | None, host: Host | None) -> Cost:
    """What it takes of the side's process to run the request under `setup`; nothing where that is what is shown.

    A measurement may have left another context than the side's own: the noise floor, and the comparison of layers.
    """
    if setup is None or host is None:
        return "reload"
    if shown is not None and is_of(shown, setup, request):
        return "nothing"
    try:
        return host.cost_to(setup)
    except WorkbenchError:
        return "reload"


def _runs(setup: Setup | None, shown: Side | None) -> bool:
    """Whether just this was loaded, whatever was foreseen."""
    if setup is None or shown is None or shown.failed is not None:
        return False
    return cost_between(shown.setup, setup) == "nothing"


def foreseen(memory: Foreseen) -> dict[str, Any]:
    """Where each layer and, last, the output layer would lie, bytes by device, and what is refused or to be known."""
    if not isinstance(memory, Memory):
        return {"places": [], "where": "", "memory": "", "refused": clean(memory or ""), "notes": []}
    used = dict.fromkeys(part.device for part in memory.parts)
    free = {name: memory.free(name) for name in used}
    sums = [f"{name} {size(memory.total(name))}" + _of(free[name]) for name in used]
    return {
        "places": list(memory.places),
        "where": layers_words(memory.places),
        "memory": ", ".join(sums),
        "refused": clean(memory.refused),
        "notes": [clean(note) for note in memory.notes],
    }


def _of(free: int | None) -> str:
    return "" if free is None else f" of {size(free)} free"


def names_of_devices(memories: Sequence[Foreseen]) -> list[str]:
    """The devices that were seen, those of servers left out: they are named by their address."""
    seen = [device.name for memory in memories if isinstance(memory, Memory) for device in memory.devices]
    return [name for name in dict.fromkeys(seen) if not name.startswith("RPC")]
