"""One setup of a sweep with its requests: runs wherever an executor puts it, and writes each result as it comes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.aside import aside
from workbench.bounded import json_of, read_kept
from workbench.conversation import Conversation
from workbench.environment import versions
from workbench.errors import Cancelled, HostDied, WorkbenchError
from workbench.progress import Cancel
from workbench.runtime import limits, records
from workbench.schema import fault
from workbench.setup import Setup
from workbench.trace import STAGES, Trace, trace
from workbench.values import finite

if TYPE_CHECKING:
    from workbench.runtime.host import Host

LOG_LINES = 40
POLL_S = 0.1
MEASURED: dict[str, Any] = {  # what a cell holds beside its setup and request, as it is where nothing was had
    "stage": "",  # the last stage that was reached
    "text": None,  # the answer
    "ids": None,  # its tokens
    "stop": None,  # why it ended
    "n_prompt": None,  # tokens
    "prompt_logprob": None,  # mean over the prompt's tokens but the first, nats
    "answer_logprob": None,  # mean over the answer's tokens, nats, before any sampler
    "prompt_per_s": None,  # tokens, with their scoring
    "answer_per_s": None,  # tokens, with the samplers' record
    "memory_mib": None,  # all buffers that llama.cpp reports
    "error": None,  # one sentence
    "log": [],  # the last lines of llama.cpp's log, where there is an error
}
NUMBERS = ("prompt_logprob", "answer_logprob", "prompt_per_s", "answer_per_s", "memory_mib")
KINDS: dict[str, Any] = dict.fromkeys(("text", "stop", "error"), str | None) | dict.fromkeys(NUMBERS, float)
KINDS |= {"stage": str, "ids": list[int] | None, "n_prompt": int | None, "log": list[str]}
MOST_CELL = 64 << 20  # bytes


class Work(NamedTuple):
    """What an executor is given: plain data alone. `keys` name the cells; `stop` is a file that ends the work."""

    setup: dict[str, Any]
    requests: list[dict[str, Any]]
    keys: list[str]
    until: str
    folder: str
    stop: str


class StopFile(Cancel):
    """A switch that reaches other processes: set while the file is there."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = Path(path)

    def set(self) -> None:
        """Make the file."""
        super().set()
        with contextlib.suppress(OSError):
            self._path.touch()

    def is_set(self) -> bool:
        """Whether somebody made it."""
        return super().is_set() or self._path.exists()

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds for it; whether it is there."""
        end = time.monotonic() + timeout_s
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            super().wait(min(left, POLL_S))
        return self.is_set()


def run(work: Work) -> dict[str, dict[str, Any]]:
    """The results by key, those that a cancel left; each is also in the folder, where this machine has it."""
    from workbench.runtime.host import Host

    setup, stop = Setup.from_dict(work.setup), StopFile(work.stop)
    found: dict[str, dict[str, Any]] = {}
    with Host(setup) as host:
        for key, body in zip(work.keys, work.requests, strict=True):
            try:
                found[key] = measure(host, setup, Conversation.from_dict(body), work.until, stop)
            except Cancelled:
                break
            with contextlib.suppress(OSError):  # the sweep itself tries again, and says why where it cannot
                keep(Path(work.folder), key, found[key])
    return found


def measure(host: Host, setup: Setup, request: Conversation, until: str, stop: Cancel) -> dict[str, Any]:
    """One request through the loaded setup. Whatever goes wrong is in the result. Errors: `Cancelled` alone."""
    failed: WorkbenchError | None = None
    found: Trace | None = None
    if until not in STAGES[:2]:
        failed = _made_ready(host, stop)
        until = "tokens" if failed else until
    try:
        found = trace(request, setup, until=until, host=host, cancel=stop)
    except WorkbenchError as error:
        failed = failed or error
    if stop.is_set():
        raise Cancelled("the sweep was cancelled")
    facts = dict(MEASURED) | (_facts(found) if found else {})
    if failed is not None:
        facts |= {"error": str(failed), "log": _log(failed, host)}
    elif found is not None and found.stopped is not None:
        said = found.stopped.error.value()
        facts |= {"error": said["message"], "log": said.get("log") or list(host.log[-LOG_LINES:])}
    return {name: finite(value) for name, value in facts.items()}


def _made_ready(host: Host, stop: Cancel) -> WorkbenchError | None:
    """Load, and forget the request before: what a cell holds does not depend on the order."""
    try:
        host.load(cancel=stop)
        host.score([0], top_k=1, cancel=stop)
    except Cancelled:
        raise
    except WorkbenchError as error:
        return error
    return None


def _facts(found: Trace) -> dict[str, Any]:
    seconds = {name: ms / 1000 for name, ms in found.elapsed_ms.value().items()}
    facts: dict[str, Any] = {"stage": next((name for name in reversed(STAGES) if getattr(found, name) is not None), "")}
    if found.tokens is not None:
        facts["n_prompt"] = len(found.tokens)
    if found.scores is not None:
        facts["prompt_logprob"] = _mean(found.scores.logprob[:-1].tolist())
        facts["prompt_per_s"] = _rate(found.evaluated or 0, seconds.get("scores"))
        facts["memory_mib"] = round(sum(found.environment.runtime.value().get("buffers_mib", {}).values()), 2)
    if (answer := found.generation) is not None:
        facts |= {"text": answer.text, "ids": [step.id for step in answer.steps], "stop": answer.stop_reason}
        facts["answer_logprob"] = _mean([step.logprob for step in answer.steps])
        facts["answer_per_s"] = _rate(len(answer.steps), seconds.get("generation"))
    return facts


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values and all(map(math.isfinite, values)) else None


def _rate(count: int, seconds: float | None) -> float | None:
    return count / seconds if seconds else None


def _log(error: WorkbenchError, host: Host) -> list[str]:
    return list(error.log if isinstance(error, HostDied) else host.log)[-LOG_LINES:]


def key_of(setup: Setup, request: Conversation, until: str) -> str:
    """A name for this cell: equal where setup, files, request, stage and versions are."""
    build = [versions(), records.fingerprint(), limits.known().notes(setup)]
    told = [setup.to_dict(), request.body.value(), until, _state(setup), build]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _state(setup: Setup) -> list[str]:
    """The files that the setup names, by content."""
    from workbench.gguf.fingerprint import fingerprint

    state = []
    with contextlib.suppress(WorkbenchError):  # a file that is not there is the cell's error
        state.append(fingerprint(setup.model) if setup.model else "")
    source = setup.template.source or ""
    if source.startswith("file:"):
        with contextlib.suppress(OSError, ValueError):
            state.append(hashlib.sha256(read_kept(Path(source[5:]).expanduser(), MOST_CELL)).hexdigest())
    return state


def keep(folder: Path, key: str, result: dict[str, Any]) -> None:
    """Write a cell aside, then rename it. Errors: `OSError`, nothing half-written being left."""
    with aside(folder / f"{key}.json") as part:
        part.write_text(json.dumps(result, allow_nan=False), "utf-8")


def kept(folder: Path, key: str) -> dict[str, Any] | None:
    """The cell that is there and whole, None for any other."""
    try:
        result = json_of(read_kept(folder / f"{key}.json", MOST_CELL))
    except (OSError, ValueError, RecursionError):
        return None
    return result if fault(result, KINDS) is None and result.keys() == MEASURED.keys() else None
