"""The last proof of llama.cpp's build on this machine: what set-up tried, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from workbench.data import cache_dir
from workbench.doctor.check import Check, failed, home, listed, passed, python, quoted, unknown, warned
from workbench.doctor.look import Look
from workbench.proof import last
from workbench.proof.settle import PROOFS

NAME = "proof of the build"


def check(_look: Look) -> Iterator[Check]:
    """What the last proof decided; none is run here, for it takes longer than a table may."""
    again = f"{python()} -m workbench.proof"
    damaged = list(_damaged(cache_dir() / PROOFS))
    found = last()
    if damaged:
        words = f"{listed(home(path) for path in damaged)} cannot be read as a record of a proof"
        yield warned(NAME, words, f"rm {' '.join(map(quoted, damaged))} && {again}")
    elif found is None:
        yield unknown(NAME, "no proof was run of this build on this machine; `make setup` runs it", again)
    elif not found.get("usable"):
        yield failed(NAME, str(found.get("sentence")), again)
    elif found.get("extra_buffers") is False or found.get("refused_variants"):
        yield warned(NAME, str(found.get("sentence")), again)
    else:
        yield passed(NAME, str(found.get("sentence")))


def _damaged(folder: Path) -> Iterator[Path]:
    """The records that are none, sorted."""
    for path in sorted(folder.glob("*.json")):
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            yield path
            continue
        facts = data.get("facts") if isinstance(data, dict) else None
        if not isinstance(facts, dict) or not isinstance(facts.get("proofs"), list) or "subject" not in data:
            yield path
