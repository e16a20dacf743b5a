"""One setup of a comparison while it runs, and the variant that it becomes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench.compare.scores import ScoresPair
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.gguf.header import read_header
from workbench.lockstep import joined_scores
from workbench.parsers import preserved_tokens
from workbench.quality.ladder import Rung, rung_of
from workbench.runtime.host import Host
from workbench.runtime.placement import layout
from workbench.setup import Setup
from workbench.stages import Generation, Scores
from workbench.values import FrozenJSON
from workbench.variants.result import Variant, changes_between

Others = Mapping[str, Setup | str | Path] | Sequence[Setup | str | Path]
TIMES = ("scores", "answer")


@dataclass
class Side:
    """Its process, the arrays of the stretches that it has done, its answer, and what stopped it."""

    name: str
    setup: Setup
    host: Host
    parts: list[dict[str, Any]] = field(default_factory=list)
    answer: Generation | None = None
    error: WorkbenchError | None = None
    elapsed_ms: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[Host]:
        """The host with this setup, its time counted."""
        self.host.use(self.setup)
        begun = time.perf_counter()
        yield self.host
        self.elapsed_ms[what] = self.elapsed_ms.get(what, 0.0) + 1000 * (time.perf_counter() - begun)

    @contextlib.contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """What stops this side is kept in `error`, and the others go on. Errors: `Cancelled`, which stops all."""
        try:
            yield
        except Cancelled:
            raise
        except WorkbenchError as error:
            self.error = error

    @property
    def scores(self) -> Scores:
        """Of all stretches."""
        return joined_scores(self.parts)

    def pair(self, reference: Side, **shared: Any) -> ScoresPair | None:
        """The reference held against this side; None where something stopped it."""
        if self.error is not None:
            return None
        kl = np.concatenate([part["kl"] for part in self.parts])
        changes = changes_between(reference.setup, self.setup)
        return ScoresPair(b=self.scores, kl=kl, changes=changes, **shared)

    def variant(self, pair: ScoresPair | None) -> Variant:
        """What became of it."""
        answer = self.answer
        times = {name: round(ms, 1) for name, ms in self.elapsed_ms.items() if name in TIMES}
        return Variant(
            name=self.name,
            setup=self.setup,
            weights=_weights(self.setup),
            cache_bytes=_cache_bytes(self.setup),
            pair=pair,
            answer=answer.answer(preserved_tokens()) if answer is not None else None,
            answer_ids=answer.ids if answer is not None else (),
            error=FrozenJSON(self.error.to_dict()) if self.error is not None else None,
            elapsed_ms=FrozenJSON(times),
        )


def named(reference: Setup | str | Path, others: Others) -> list[tuple[str, Setup]]:
    """Names and setups, the reference first. Errors: `BadRequest` for none, or a setup without a model."""
    first = _as_setup(reference)
    if isinstance(others, Mapping):
        found = [(name, _as_setup(setup)) for name, setup in others.items()]
    else:
        setups = [_as_setup(setup) for setup in others]
        found = list(zip(_names(first, setups), setups, strict=True))
    if not found:
        raise BadRequest("no variant was given", "accepted is one setup or more to hold against the reference")
    return [(Path(str(first.model)).name, first), *found]


def _as_setup(setup: Setup | str | Path) -> Setup:
    found = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    if found.model is None:
        raise BadRequest("a setup names no model", "accepted is a GGUF file's path", "set its key model")
    return found


def _names(reference: Setup, setups: Sequence[Setup]) -> list[str]:
    """What is other than in the reference, the file's name and the settings; numbered where that is the same."""
    names: list[str] = []
    for setup in setups:
        changes = {key: value for key, (_, value) in reference.diff(setup).items()}
        file = [Path(str(changes.pop("model"))).name] if "model" in changes else []
        settings = [f"{key.removeprefix('runtime.')} {value}" for key, value in changes.items()]
        names.append(", ".join([*file, *settings]) or "the same setup")
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _weights(setup: Setup) -> Rung | None:
    try:
        return rung_of(str(setup.model))
    except WorkbenchError:
        return None


def _cache_bytes(setup: Setup) -> int:
    """Of the whole context; 0 where it is not known."""
    try:
        return sum(layout(read_header(str(setup.model)), setup.effective()["runtime"]).cache)
    except WorkbenchError:
        return 0
