"""Tries a build of llama.cpp in processes of their own: each case is right, wrong, dead or refused."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.data import cache_dir, toolsmith
from workbench.errors import BadFile, Cancelled, CannotRun
from workbench.progress import Cancel, Progress
from workbench.proof.cases import CASES, KINDS, MOST_NATS, Case
from workbench.proof.result import Proof, Result
from workbench.runtime.backends import VARIANT
from workbench.runtime.process import child_environment, signal_name
from workbench.runtime.quantise import quantise

WAIT_S = 900.0  # for all cases, on a processor that is emulated in software
POLL_S = 0.05


def prove(*, variant: str = "", progress: Progress | None = None, cancel: Cancel | None = None) -> Proof:
    """Try every case with the installed llama.cpp, its CPU variant `variant` where it has several.

    Errors: `CannotRun` where toolsmith cannot be written to the disk, `Cancelled`. A build that dies is a result.
    """
    with _weights(variant) as (paths, failed):
        found = {result.case: result for result in failed}
        features: tuple[str, ...] = ()
        while todo := [case for case in CASES if case not in found]:
            if progress is not None:
                progress(f"proving {variant or 'the build of llama.cpp'}", len(found), len(CASES))
            told, results = _try(todo, paths, variant, cancel)
            features = told or features
            found |= {result.case: result for result in results}
    return Proof(variant, features, tuple(found[case] for case in CASES))


@contextlib.contextmanager
def _weights(variant: str) -> Iterator[tuple[dict[str, str], list[Result]]]:
    """Toolsmith in every kind, and the results of the kinds that this build cannot even write."""
    paths, failed = {}, []
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="proof-") as aside:
        for kind, recipe in KINDS.items():
            try:
                target, own = Path(aside, f"{kind}.gguf"), _variables(variant)
                paths[kind] = str(quantise(toolsmith(), target, recipe, variables=own) if recipe else toolsmith())
            except (BadFile, CannotRun) as error:  # a build that cannot even read a header blames the file
                detail = f"could not be written: {error.given}"
                failed += [Result(*case, "failed", detail) for case in CASES if case.kind == kind]
        yield paths, failed


def _variables(variant: str) -> dict[str, str]:
    return {VARIANT: variant} if variant else {}


def _try(
    todo: Sequence[Case], paths: dict[str, str], variant: str, cancel: Cancel | None
) -> tuple[tuple[str, ...], list[Result]]:
    """One process for the cases in turn, until it is through or dead: what it uses, and at least one result."""
    cases = [case._asdict() | {"path": paths[case.kind]} for case in todo]
    with tempfile.TemporaryFile() as order, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        order.write(json.dumps({"cases": cases}).encode())
        order.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.proof.worker"],
            stdin=order,
            stdout=out,
            stderr=log,
            env=child_environment() | _variables(variant),
        )
        ended = _wait(child, cancel)
        out.seek(0)
        lines = [json.loads(line) for line in out.read().splitlines() if line.endswith(b"}")]
        log.seek(0)
        said = [line for line in log.read().decode("utf-8", "backslashreplace").splitlines() if line.strip()]
    features = next((tuple(line["features"]) for line in lines if "features" in line), ())
    return features, list(_results(todo, lines, _end(child.returncode, ended, said)))


def _wait(child: subprocess.Popen[bytes], cancel: Cancel | None) -> bool:
    """Wait for the end; whether it came by itself."""
    until = time.monotonic() + WAIT_S
    try:
        while child.poll() is None:
            if cancel is not None and cancel.is_set():
                raise Cancelled("proving the build was cancelled")
            if time.monotonic() > until:
                return False
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
        return True
    finally:
        child.kill()
        child.wait()


def _end(code: int, by_itself: bool, said: list[str]) -> str:
    """How a process that is not through ended, in words."""
    if not by_itself:
        return f"was not through after {WAIT_S:.0f} s"
    if code < 0:
        return f"was ended by {signal_name(-code)}"
    return f"ended with exit code {code}" + (f" ({said[-1]})" if said else "")


def _results(todo: Sequence[Case], lines: list[dict[str, Any]], end: str) -> Iterator[Result]:
    """The result of each case that was begun; of the first one where the process died before it began any."""
    for case in todo:
        steps = [line for line in lines if line.get("case") == list(case)]
        if not (steps and steps[-1].get("through")):
            where = _where(steps[-1]) if steps else "starting llama.cpp"
            yield Result(*case, "died", f"{end} in: {where}")
            return
        yield _judged(case, [step for step in steps if "nats" in step])


def _judged(case: Case, measured: list[dict[str, Any]]) -> Result:
    """Right or wrong by the step that is furthest off."""
    off = {_where(step): float("inf") if step["nats"] is None else step["nats"] for step in measured}
    where, nats = max(off.items(), key=lambda item: item[1])
    if nats <= MOST_NATS[case.kind]:
        return Result(*case, "right", "", nats)
    if nats == float("inf"):
        return Result(*case, "wrong", f"gives no numbers for {where}")
    return Result(
        *case, "wrong", f"is {nats:.3g} nats off for {where}, at most {MOST_NATS[case.kind]} is rounding", nats
    )


def _where(step: dict[str, Any]) -> str:
    return f"{step['doing']}, flash attention {'on' if step['flash_attn'] else 'off'}"
