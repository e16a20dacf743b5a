"""Two machines: what is different, by what it can change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.doctor.effects import EFFECTS, FACTS, NOTHING, PACKAGES
from workbench.environment import Environment
from workbench.errors import BadFile
from workbench.values import SCHEMA_VERSION

PARTS = ("versions", "system", "runtime", "files")
MOST_BYTES = 16 * 2**20
PACKAGE = "package "
ACCEPTED = "accepted is what `workbench doctor --json` printed on the other machine"
NEXT = "run it there again: workbench doctor --json > other.json"


class Difference(NamedTuple):
    """One fact that is not the same; `here` and `there` are plain JSON, None where the fact is missing."""

    part: str
    name: str
    here: Any
    there: Any
    changes: tuple[str, ...]  # of EFFECTS, empty for nothing


def differences(here: Environment, there: Environment) -> tuple[Difference, ...]:
    """All facts that are not the same, those that can change most first."""
    return ordered(_found(here.to_dict(), there.to_dict()))


def by_effect(found: tuple[Difference, ...]) -> dict[str, list[dict[str, Any]]]:
    """`{rendering, ids, numbers, parsing, nothing: [{part, name, here, there}]}`; one may stand under several."""
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in (*EFFECTS, NOTHING)}
    for one in found:
        row = {"part": one.part, "name": one.name, "here": one.here, "there": one.there}
        for effect in one.changes or (NOTHING,):
            groups[effect].append(row)
    return groups


def from_effects(groups: Mapping[str, list[dict[str, Any]]]) -> tuple[Difference, ...]:
    """The inverse of `by_effect`."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    effects: dict[tuple[str, str], tuple[str, ...]] = {}
    for effect, some in groups.items():
        for row in some:
            key = (row["part"], row["name"])
            rows[key] = row
            effects[key] = (*effects.get(key, ()), *([effect] if effect != NOTHING else []))
    return ordered(Difference(**row, changes=effects[key]) for key, row in rows.items())


def ordered(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """Those that can change most first."""
    return tuple(sorted(found, key=lambda one: (-len(one.changes), PARTS.index(one.part), one.name)))


def _found(here: dict[str, Any], there: dict[str, Any]) -> Iterator[Difference]:
    for part in PARTS:
        names = dict.fromkeys([*here[part], *there[part]])
        for name in names:
            a, b = here[part].get(name), there[part].get(name)
            if json.dumps(a, sort_keys=True) != json.dumps(b, sort_keys=True):
                yield Difference(part, name, a, b, _changes(part, name))


def _changes(part: str, name: str) -> tuple[str, ...]:
    if part == "versions":
        return PACKAGES.get(name, ())
    if part == "files" and name.startswith(PACKAGE):
        return PACKAGES.get(name.removeprefix(PACKAGE), ())
    return FACTS.get((part, name), ())


def read_other(path: Path) -> Environment:
    """The environment in another machine's output. Errors: `BadFile` for a file that is none."""
    try:
        if not path.is_file():
            raise BadFile(f"{path} is no file", ACCEPTED, "check the path")
        if path.stat().st_size > MOST_BYTES:
            raise BadFile(f"{path} is {path.stat().st_size:,} bytes long", ACCEPTED, NEXT)
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}", ACCEPTED, "check the path") from error
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} is no JSON: {error}", ACCEPTED, NEXT) from error
    if (why := _foreign(data)) is not None:
        raise BadFile(f"{path} is no output of doctor: {why}", ACCEPTED, NEXT)
    return Environment.from_dict(data["environment"])


def _foreign(data: Any) -> str | None:
    """Why this is not what doctor prints, None where it is."""
    if not isinstance(data, dict):
        return "it holds no object"
    if data.get("schema_version") != SCHEMA_VERSION:
        return f"its schema_version is {data.get('schema_version')!r}, and {SCHEMA_VERSION} is known"
    if not isinstance(data.get("checks"), list):
        return "it has no checks"
    environment = data.get("environment")
    if not isinstance(environment, dict):
        return "it has no environment"
    wrong = [part for part in PARTS if not isinstance(environment.get(part), dict)]
    return f"its environment has no {wrong[0]}" if wrong else None
