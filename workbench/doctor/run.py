"""Every check in its order: `CHECKS` is the only list of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from workbench.doctor import (
    browser,
    build,
    compiler,
    devices,
    engines,
    lab,
    models,
    pins,
    proof,
    records,
    requirements,
    room,
    sources,
    surroundings,
    twins,
)
from workbench.doctor.against import differences, read_other
from workbench.doctor.check import Check, unknown
from workbench.doctor.facts import environment
from workbench.doctor.look import Look
from workbench.doctor.result import Doctor
from workbench.errors import Cancelled
from workbench.progress import Cancel, Progress


class Group(NamedTuple):
    """Checks that look at the same things, one file each."""

    name: str
    check: Callable[[Look], Iterator[Check]]


CHECKS: tuple[Group, ...] = (
    Group("surroundings", surroundings.check),
    Group("compiler", compiler.check),
    Group("build", build.check),
    Group("proof", proof.check),
    Group("devices", devices.check),
    Group("room", room.check),
    Group("models", models.check),
    Group("engines", engines.check),
    Group("lab", lab.check),
    Group("browser", browser.check),
    Group("requirements", requirements.check),
    Group("pins", pins.check),
    Group("sources", sources.check),
    Group("twins", twins.check),
    Group("records", records.check),
)


def doctor(
    against: str | Path | None = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    only: Collection[str] | None = None,
) -> Doctor:
    """Examine this machine; `against` is a file that `workbench doctor --json` wrote on another one.

    `only` names groups of `CHECKS`. Errors: `BadFile` for a file that is none of doctor's, `Cancelled`.
    """
    other = read_other(Path(against)) if against is not None else None  # before anything that takes time
    look, found = Look(cancel), []
    chosen = [group for group in CHECKS if only is None or group.name in only]
    for done, group in enumerate(chosen):
        if progress is not None:
            progress(f"looking at {group.name}", done, len(chosen))
        if look.cancel.is_set():
            raise Cancelled("the examination was stopped")
        found += _guarded(group, look)
    here = environment(look)
    return Doctor(tuple(found), here, differences(here, other) if other is not None else None)


def _guarded(group: Group, look: Look) -> list[Check]:
    """The group's lines; one that fails itself says so and costs no other line."""
    lines: list[Check] = []
    try:
        lines.extend(group.check(look))
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001  # a broken machine may break a check in ways that nobody thought of
        lines.append(unknown(group.name, f"looking at it failed: {type(error).__name__}: {error}"))
    return lines
