"""A grid of setups and requests as one table: resumable, on local hosts or through any executor, a Dask cluster too.

setups = grid(Setup(model="m.gguf"), {"runtime.type_k": ["f16", "q8_0"], "runtime.flash_attn": [True, False]})
sweep(setups, ["request.json"], folder="results").to_frame()
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.aside import remove_abandoned, scratch
from workbench.conversation import Conversation
from workbench.errors import BadFile, BadRequest
from workbench.progress import Cancel, Progress
from workbench.setup import Setup
from workbench.sweep_cell import MEASURED, StopFile, Work, keep, kept, key_of, run
from workbench.trace import STAGES
from workbench.values import FrozenJSON, Plotted, Value, clip

POLL_S = 0.1
CANCEL_WAIT_S = 20.0
NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Cell:
    """One request under one setup: their positions in the sweep, and `measured` (see `sweep_cell.MEASURED`)."""

    setup: int
    request: int
    measured: FrozenJSON


@dataclass(frozen=True)
class Sweep(Value, Plotted):
    """What was measured, setup by setup; cells that a cancel left out are missing, and `notes` says how many."""

    setups: tuple[Setup, ...]
    requests: tuple[Conversation, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()

    @property
    def varied(self) -> tuple[str, ...]:
        """The settings that differ between the setups, by dotted name."""
        flat = [setup.flat() for setup in self.setups]
        names = dict.fromkeys(name for settings in flat for name in settings)
        return tuple(name for name in names if any(one.get(name) != flat[0].get(name) for one in flat))

    def settings(self, setup: int) -> dict[str, Any]:
        """The varied settings of the setup at this position."""
        flat = self.setups[setup].flat()
        return {name: flat.get(name) for name in self.varied}

    def request_name(self, request: int) -> str:
        """The file that the request at this position came from, else its last message's start."""
        given = self.requests[request]
        if given.source:
            return Path(given.source).name
        messages = given.body.value().get("messages") or [{}]
        content = messages[-1].get("content") if isinstance(messages[-1], dict) else ""
        return clip(content if isinstance(content, str) else json.dumps(content), NAME_CHARACTERS)

    def to_dict(self) -> dict[str, Any]:
        """`{setups, requests, cells: [{setup, request, ...measured}], notes}`."""
        return {
            "setups": [setup.to_dict() for setup in self.setups],
            "requests": [{"source": one.source, "body": one.body.value()} for one in self.requests],
            "cells": [{"setup": cell.setup, "request": cell.request} | cell.measured.value() for cell in self.cells],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Sweep:
        """The inverse of `to_dict`."""
        return cls(
            setups=tuple(Setup.from_dict(item) for item in data["setups"]),
            requests=tuple(Conversation.from_dict(r["body"], source=r["source"]) for r in data["requests"]),
            cells=tuple(
                Cell(item["setup"], item["request"], FrozenJSON({name: item[name] for name in MEASURED}))
                for item in data["cells"]
            ),
            notes=tuple(data["notes"]),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"setup": cell.setup, **self.settings(cell.setup), "request": self.request_name(cell.request)}
            | cell.measured.value()
            for cell in self.cells
        ]

    def __repr__(self) -> str:
        failed = sum(cell.measured.value()["error"] is not None for cell in self.cells)
        wrong = f", {failed} with an error" if failed else ""
        whole = len(self.setups) * len(self.requests)
        return f"Sweep({len(self.setups)} setups x {len(self.requests)} requests, {len(self.cells)} of {whole}{wrong})"


def grid(base: Setup, axes: Mapping[str, Sequence[Any]]) -> tuple[Setup, ...]:
    """Every combination of the values of `axes` (by dotted name) in `base`, the last axis fastest.

    Errors: `BadRequest` for a name or a value that a setup does not have, or axes that are no lists of values.
    """
    for name, values in dict(axes).items():
        if not isinstance(name, str):
            raise BadRequest(f"a setting is called {name!r}", 'accepted is a dotted name such as "runtime.type_k"')
        _require_list(f"the values of {name}", values)
    return tuple(base.replace(**dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values()))


def sweep(
    setups: Sequence[Setup | str | Path],
    requests: Sequence[Any],
    *,
    until: str = "parsed",
    folder: str | Path | None = None,
    executor: Executor | None = None,
    hosts: int = 1,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Sweep:
    """Every request under every setup, up to the stage `until`; what goes wrong in a cell is that cell's error.

    `setups` may be paths of models. With `folder` each result is kept there and taken over next time, while setup,
    files, request and versions are the same; an error is tried again, for its cause may lie outside of these. A
    setup with all its requests is one piece of work: on `hosts` local model processes at once, or through `executor`
    (`distributed.Client(...).get_executor()` for a Dask cluster), whose machines need the same model paths. Results
    come as they are measured where they see the folder too, else with the setup's last one. A cancel ends with the
    cells so far. Errors: `BadRequest`, `BadFile` for a folder that cannot be written to.
    """
    if until not in STAGES:
        raise BadRequest(f"until is {until!r}", f"accepted are {', '.join(STAGES)}")
    if not isinstance(hosts, int) or hosts < 1:
        raise BadRequest(f"hosts is {hosts!r}", "accepted is a whole number, 1 or more")
    _require_list("setups", setups)
    _require_list("requests", requests)
    given = tuple(Conversation.of(request) for request in requests)
    asked = tuple(one if isinstance(one, Setup) else Setup(model=str(one)) for one in setups)
    with ExitStack() as stack:
        place = Path(folder or stack.enter_context(scratch())).absolute()
        _make(place)
        work = _Sweep(asked, given, until, place)
        stack.callback(work.clean)
        pool = executor or stack.enter_context(ThreadPoolExecutor(hosts))
        work.run(pool, progress, cancel)
        return work.result()


def _require_list(what: str, given: Any) -> None:
    """Errors: `BadRequest` for one thing where several are wanted."""
    if isinstance(given, (str, Path, Mapping, Setup, Conversation)) or not isinstance(given, Iterable):
        raise BadRequest(
            f"{what}: {clip(repr(given), NAME_CHARACTERS)} is no list", "accepted is a list", "put it in []"
        )


class _Sweep:
    """The work of one `sweep()` call: `cells` are the results by key, `lost` why the executor gave none."""

    def __init__(self, setups: tuple[Setup, ...], requests: tuple[Conversation, ...], until: str, folder: Path) -> None:
        self.setups, self.requests, self.until, self.folder = setups, requests, until, folder
        self.stop_path = folder / f".stop-{uuid.uuid4().hex}"
        self.stop = StopFile(self.stop_path)
        self.futures: dict[Future[Any], Work] = {}
        self.lost: dict[str, str] = {}
        self.keys = [[key_of(setup, request, until) for request in requests] for setup in setups]
        wanted = dict.fromkeys(itertools.chain.from_iterable(self.keys))
        self.cells = {key: found for key in wanted if (found := kept(folder, key)) is not None}
        self.again = {key for key, measured in self.cells.items() if measured["error"] is not None}
        self.total = len(wanted)

    def run(self, pool: Executor, progress: Progress | None, cancel: Cancel | None) -> None:
        """Fill `cells` until all work is done, or some time after a cancel: work that does not hear of it goes on."""
        self.futures = {pool.submit(run, work): work for work in self._work()}
        working, give_up = set(self.futures), math.inf
        try:
            while working and time.monotonic() < give_up:
                done, working = wait(working, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take(future)
                if progress is not None:
                    progress("sweeping", self._count(working), self.total)
                if cancel is not None and cancel.is_set() and give_up == math.inf:
                    give_up = time.monotonic() + CANCEL_WAIT_S
                    self._stop_all()
        except BaseException:  # an interrupt too
            self._stop_all()
            raise

    def clean(self) -> None:
        """Take the stop file away where nothing runs that has to see it."""
        if all(future.done() for future in self.futures):
            self.stop_path.unlink(missing_ok=True)

    def result(self) -> Sweep:
        """The cells in order; what the executor lost is an error, what a cancel left is missing."""
        found = {key: dict(MEASURED) | {"error": why} for key, why in self.lost.items()} | self.cells
        cells = tuple(
            Cell(i, j, FrozenJSON(found[key]))
            for i, keys in enumerate(self.keys)
            for j, key in enumerate(keys)
            if key in found
        )
        whole = len(self.setups) * len(self.requests)
        notes = () if len(cells) == whole else (f"cancelled after {len(cells)} of {whole} cells",)
        return Sweep(self.setups, self.requests, cells, notes)

    def _work(self) -> Iterator[Work]:
        """One piece for each setup that has something left to do; a cell that stands twice is done once."""
        taken = self.cells.keys() - self.again
        for setup, keys in zip(self.setups, self.keys, strict=True):
            todo = {key: request for key, request in zip(keys, self.requests, strict=True) if key not in taken}
            taken |= todo.keys()
            if todo:
                bodies = [request.body.value() for request in todo.values()]
                yield Work(setup.to_dict(), bodies, list(todo), self.until, str(self.folder), str(self.stop_path))

    def _stop_all(self) -> None:
        self.stop.set()
        for future in self.futures:
            future.cancel()

    def _take(self, future: Future[Any]) -> None:
        try:
            found = future.result()
        except CancelledError:
            return
        except Exception as error:  # noqa: BLE001  a worker of the user's executor may be lost in any way
            why = f"the executor lost this work: {type(error).__name__}: {error}"
            self.lost |= dict.fromkeys(self.futures[future].keys, why)
            return
        for key, measured in found.items():
            self.cells[key] = measured
            self.again.discard(key)
            if kept(self.folder, key) != measured:
                try:
                    keep(self.folder, key, measured)
                except OSError as error:
                    raise _cannot_keep(self.folder, error) from error

    def _count(self, working: set[Future[Any]]) -> int:
        """Cells that are there, those of work that still runs included."""
        keys = {key for future in working for key in self.futures[future].keys} - self.again
        return len(self.cells) - len(self.again) + sum((self.folder / f"{key}.json").exists() for key in keys)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        remove_abandoned(folder)
    except OSError as error:
        raise _cannot_keep(folder, error) from error


def _cannot_keep(folder: Path, error: OSError) -> BadFile:
    return BadFile(
        f"the sweep cannot be kept in {folder}: {error.strerror or error}",
        "accepted is a folder one may write to",
        "free some space, or name another folder",
    )
