"""The noise floor of a setup on this machine: measured once, kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import environment
from workbench.aside import aside, remove_abandoned
from workbench.bounded import json_of, read_kept
from workbench.compare.floor import FloorRow, NoiseFloor
from workbench.compare.scores import compare_scores
from workbench.data import cache_dir
from workbench.gguf.fingerprint import fingerprint
from workbench.lockstep import Side, run_both
from workbench.runtime import limits, records
from workbench.runtime.host import Host
from workbench.schema import fault
from workbench.setup import Setup
from workbench.values import FrozenJSON

if TYPE_CHECKING:
    from workbench.progress import Cancel, Progress

FLOORS = "floors"  # the folder in the cache
MOST_TOKENS = 128
# Prose, code, JSON and a list, so that the floor is not that of one kind of text.
TEXT = (
    "The ferry leaves at a quarter past seven, and whoever comes late waits until noon.\n"
    "def area(width, height):\n    return width * height\n\nprint(area(3, 4))  # 12\n"
    '{"name": "get_weather", "arguments": {"city": "Lisbon", "unit": "celsius", "days": 3}}\n'
    "1. Fill the kettle. 2. Switch it on. 3. Warm the pot. 4. Wait for four minutes, then pour.\n"
)


def noise_floor(
    setup: Setup | str | Path,
    *,
    anew: bool = False,
    host: Host | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> NoiseFloor:
    """The setup against itself: once more, token by token instead of in batches, with another number of threads.

    On at most `MOST_TOKENS` tokens of a text of our own, in `host` where one is given. Kept by model, runtime
    settings, library and processor; `anew` measures it again. Errors: those of a `Host`.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    facts = _facts(setup)
    path = cache_dir() / FLOORS / f"{hashlib.sha256(facts.text.encode()).hexdigest()[:32]}.json"
    if not anew and (kept := _read(path, facts)) is not None:
        return kept
    floor = NoiseFloor(_measure(setup, host, progress, cancel), facts)
    _keep(path, floor)
    return floor


def harmless_changes(setup: Setup) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Changes that a user would not call one: what each is called, and the settings."""
    threads = setup.effective()["runtime"]["n_threads"]
    other = 1 if threads > 1 else 2
    return (
        ("the same setup again", {}),
        ("token by token (n_ubatch 1)", {"runtime.n_ubatch": 1}),
        (f"n_threads {other} instead of {threads}", {"runtime.n_threads": other}),
    )


def _measure(setup: Setup, host: Host | None, progress: Progress | None, cancel: Cancel | None) -> tuple[FloorRow, ...]:
    rows = []
    with contextlib.ExitStack() as stack:
        host = host or stack.enter_context(Host(setup))
        host.use(setup)
        ids: list[int] = host.tokenize(TEXT, progress=progress, cancel=cancel).ids.tolist()[:MOST_TOKENS]
        for change, settings in harmless_changes(setup):
            again = Side(host, setup.replace(**settings))
            done = run_both(Side(host, setup), again, ids, progress=progress, cancel=cancel)
            rows.append(compare_scores(done.a, done.b, kl=done.arrays["kl"]).as_floor_row(change))
    return tuple(rows)


def _facts(setup: Setup) -> FrozenJSON:
    """Everything that the floor depends on."""
    machine = environment.collect()
    return FrozenJSON(
        {
            "model": fingerprint(str(setup.model)),
            "metadata": setup.metadata.value(),
            "runtime": limits.known().runtime(setup),
            "build": records.fingerprint(),
            "llama-cpp-python": machine.versions.value().get("llama-cpp-python"),
            "system": {name: machine.system.value()[name] for name in ("os", "machine", "cpu")},
            "text": hashlib.sha256(TEXT.encode()).hexdigest()[:16],
        }
    )


def _read(path: Path, facts: FrozenJSON) -> NoiseFloor | None:
    """What was measured before; None where there is nothing, or something that cannot be read."""
    try:
        kept = json_of(read_kept(path))
        floor = NoiseFloor.from_dict(kept) if fault(kept, NoiseFloor) is None else None
    except (OSError, ValueError, RecursionError):
        return None
    return floor if floor is not None and floor.facts == facts else None


def _keep(path: Path, floor: NoiseFloor) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs another measurement, no more
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        with aside(path) as part:
            part.write_text(floor.to_json(), "utf-8")
