"""Runs one request under two setups, one after the other, both loaded at once: no side takes the other's processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.chain import same_files
from workbench.compare.floor import FloorRow
from workbench.compare.layers import Drift
from workbench.compare.scores import ScoresPair, compare_scores
from workbench.conversation import Conversation
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.floor import MOST_TOKENS, noise_floor
from workbench.lockstep import ONE_BY_ONE, run_both, score_both, where_it_begins
from workbench.lockstep import Side as LockstepSide
from workbench.progress import Cancel, Progress
from workbench.runtime.host import Host
from workbench.runtime.memory_estimate import estimate
from workbench.setup import Setup
from workbench.trace import STAGES, trace
from workbench.values import FrozenJSON
from workbench.versus.result import Side, Versus

OnPart = Callable[[Versus], None]
OWN_NOISE = "this prompt token by token (n_ubatch 1)"
OTHER_TOKENS = "b reads the request as other tokens; the scores are those of a's"


def versus(
    request: Conversation | dict[str, Any] | list[Any] | str | Path,
    a: Setup | str | Path,
    b: Setup | str | Path,
    *,
    until: str = "parsed",
    floor: bool = True,
    layers: bool = False,
    hosts: tuple[Host, Host] | None = None,
    previous: Versus | None = None,
    on_part: OnPart | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Versus:
    """A request under two setups (or models, by their paths) up to the stage `until`, and what parts them.

    Whatever goes wrong on a side is that side's result: a setting that is refused, a file that does not load, a
    process that dies. `floor`: hold the difference against the noise floor of a: measured once for its settings, and
    again on the request's own first `MOST_TOKENS` tokens, for how much noise there is depends on the text.
    `layers`: also by layer, which takes longer. With `hosts` both models stay loaded; a side of `previous` whose setup
    and request are the same is taken over. `on_part` hears of the result as it grows.

    Errors: `BadRequest` for a request or a stage that is none, `Cancelled`.
    """
    if until not in STAGES:
        raise BadRequest(f"until is {until!r}", f"accepted are {', '.join(STAGES)}")
    setups = [setup if isinstance(setup, Setup) else Setup(model=str(setup)) for setup in (a, b)]
    with ExitStack() as stack:
        pair = hosts or (stack.enter_context(Host(setups[0])), stack.enter_context(Host(setups[1])))
        work = _Work(Conversation.of(request), pair, until, previous, on_part or _nobody, progress, cancel)
        return work.run(setups[0], setups[1], floor=floor, layers=layers)


def _nobody(_result: Versus) -> None:
    """Who hears of a result in the making where nobody asked."""


@dataclass
class _Work:
    """One call of `versus`."""

    request: Conversation
    hosts: tuple[Host, Host]
    until: str
    previous: Versus | None
    on_part: OnPart
    progress: Progress | None
    cancel: Cancel | None

    @property
    def watch(self) -> dict[str, Any]:
        return {"progress": self.progress, "cancel": self.cancel}

    def run(self, a: Setup, b: Setup, *, floor: bool, layers: bool) -> Versus:
        result = Versus(self.side(a, 0), Side(b))
        self.on_part(result)
        result = replace(result, b=self.side(b, 1))
        self.on_part(result)
        result = self.compared(result)
        self.on_part(result)
        if floor and result.pair is not None:
            result = self.held_against_noise(result, result.pair)
            self.on_part(result)
        if layers and result.pair is not None:
            result = self.by_layer(result, floor=floor)
            self.on_part(result)
        return result

    def side(self, setup: Setup, index: int) -> Side:
        """One setup: estimated, loaded, the request run. Errors: `Cancelled` alone."""
        if (old := self._taken_over(setup, index)) is not None:
            return old
        host, found, watch = self.hosts[index], Side(setup), self._watched(index)
        try:
            found = replace(found, cost=host.cost_to(setup))
            found = replace(found, memory=estimate(setup, host=host, **watch))
            started = time.perf_counter()
            info = host.load(**watch)
            load_ms = round((time.perf_counter() - started) * 1000, 3)
            memory = found.memory.beside(info) if found.memory is not None else None
            found = replace(found, memory=memory, info=FrozenJSON(info), load_ms=load_ms)
            host.score([0], top_k=1, **watch)  # forget the request before: the speed is that of a whole prompt
            told = trace(self.request, setup, until=self.until, host=host, **watch)
        except Cancelled:
            raise
        except WorkbenchError as error:
            return replace(found, failed=FrozenJSON(error.to_dict()))
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled("the run of two setups was cancelled")
        return replace(found, trace=told, failed=told.stopped.error if told.stopped is not None else None)

    def _watched(self, index: int) -> dict[str, Any]:
        """`watch`, what is done being said with the side: `b: generating`."""
        tell, name = self.progress, "ab"[index]
        if tell is None:
            return self.watch
        return {"progress": lambda what, done, total: tell(f"{name}: {what}", done, total), "cancel": self.cancel}

    def _taken_over(self, setup: Setup, index: int) -> Side | None:
        """The side of `previous`, where it would be the same."""
        if self.previous is None:
            return None
        old = (self.previous.a, self.previous.b)[index]
        there = old.trace is not None and getattr(old.trace, self.until) is not None
        return old if there and is_of(old, setup, self.request) else None

    def compared(self, result: Versus) -> Versus:
        """The scores of both on a's prompt, or why there are none."""
        a, b = result.a, result.b
        without = [name for name, side in (("a", a), ("b", b)) if side.trace is None or side.trace.scores is None]
        if without:
            return replace(result, notes=(f"the scores are not compared: {_none(without)}",))
        old = self.previous
        if old is not None and old.pair is not None and (old.a, old.b) == (a, b):
            return replace(result, pair=old.pair, notes=old.notes)
        found = self._attempt(score_both, a, b)
        if isinstance(found, ScoresPair):
            return replace(result, pair=found, notes=() if _same_tokens(a, b) else (OTHER_TOKENS,))
        return replace(result, notes=(f"the scores are not compared; {found}",))

    def held_against_noise(self, result: Versus, pair: ScoresPair) -> Versus:
        """The pair with a's noise floor beside it; that of `previous` where a is the same."""
        old = self.previous
        if old is not None and old.pair is not None and old.pair.floor is not None and old.a == result.a:
            return replace(result, pair=replace(pair, floor=old.pair.floor))
        try:
            found = noise_floor(result.a.setup, host=self.hosts[0], **self.watch)
            found = replace(found, rows=(*found.rows, self._own_noise(result.a)))
        except Cancelled:
            raise
        except WorkbenchError as error:
            return replace(result, notes=(*result.notes, f"the noise floor is not measured; {error}"))
        return replace(result, pair=replace(pair, floor=found))

    def _own_noise(self, side: Side) -> FloorRow:
        """The side against itself on its own prompt, token by token. Errors: those of a `Host`."""
        ids = side.trace.tokens.ids.tolist() if side.trace is not None and side.trace.tokens is not None else []
        one_by_one = LockstepSide(self.hosts[0], side.setup.replace(**ONE_BY_ONE))
        done = run_both(LockstepSide(self.hosts[0], side.setup), one_by_one, ids[:MOST_TOKENS], **self.watch)
        return compare_scores(done.a, done.b, kl=done.arrays["kl"]).as_floor_row(OWN_NOISE)

    def by_layer(self, result: Versus, *, floor: bool) -> Versus:
        """Where in the network it begins."""
        old = self.previous
        if old is not None and old.drift is not None and (old.a, old.b) == (result.a, result.b):
            return replace(result, drift=old.drift)
        found = self._attempt(where_it_begins, result.a, result.b, floor=floor)
        if isinstance(found, Drift):
            return replace(result, drift=found)
        return replace(result, notes=(*result.notes, f"the layers are not compared; {found}"))

    def _attempt(self, work: Callable[..., Any], a: Side, b: Side, **options: Any) -> Any:
        """What `work` gives of a's prompt under both setups, or in words why it fails. Errors: `Cancelled`."""
        try:
            return work(a.trace, a.setup, b.setup, hosts=self.hosts, **options, **self.watch)
        except Cancelled:
            raise
        except WorkbenchError as error:
            return str(error)


def is_of(side: Side, setup: Setup, request: Conversation | None) -> bool:
    """Whether it is what the request gives under `setup`, whose files are as they were; None: whatever was asked."""
    if side.failed is not None or side.trace is None or side.setup != setup:
        return False
    return request in (None, side.trace.conversation) and same_files(setup, side.trace.environment)


def _none(sides: list[str]) -> str:
    return "neither a nor b has any" if len(sides) > 1 else f"{sides[0]} has none"


def _same_tokens(a: Side, b: Side) -> bool:
    return a.trace is not None and b.trace is not None and a.trace.tokens == b.trace.tokens
