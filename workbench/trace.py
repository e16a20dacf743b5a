"""One request through one stack: `Trace` holds every value on the way, `trace()` computes them (see `chain.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench import environment
from workbench.conversation import Conversation
from workbench.environment import Environment
from workbench.errors import BadRequest
from workbench.progress import Cancel, Progress
from workbench.setup import Setup
from workbench.stages import Generation, Parsed, Rendered, Scores, Tokens
from workbench.values import SCHEMA_VERSION, FrozenJSON, Value

if TYPE_CHECKING:
    from workbench.runtime.host import Host

STAGES = ("rendered", "tokens", "scores", "generation", "parsed")
STAGE_TYPES: dict[str, Any] = {
    "rendered": Rendered,
    "tokens": Tokens,
    "scores": Scores,
    "generation": Generation,
    "parsed": Parsed,
}


class Stopped(NamedTuple):
    """Why a trace ends before its last stage: the stage that could not be had, and the error as plain JSON."""

    stage: str
    error: FrozenJSON


@dataclass(frozen=True)
class Trace(Value):
    """All values of one request under one setup; a stage that was not reached is None.

    `elapsed_ms` by stage, `reused` the stages taken over from an earlier trace, `evaluated` the prompt
    tokens that were computed for the scores (the others' keys and values were in the cache; with another
    batch shape than a fresh pass, so equal to it within the noise floor), `log` llama.cpp's own lines:
    these four do not count in equality.
    """

    setup: Setup
    conversation: Conversation
    rendered: Rendered | None = None
    tokens: Tokens | None = None
    scores: Scores | None = None
    generation: Generation | None = None
    parsed: Parsed | None = None
    environment: Environment = field(default_factory=environment.collect)
    stopped: Stopped | None = None
    elapsed_ms: FrozenJSON = field(default_factory=lambda: FrozenJSON({}), compare=False)
    reused: tuple[str, ...] = field(default=(), compare=False)
    evaluated: int | None = field(default=None, compare=False)
    log: tuple[str, ...] = field(default=(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Every part as plain JSON, with `schema_version`."""
        data: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for f in fields(self):
            value = getattr(self, f.name)
            data[f.name] = value.to_dict() if isinstance(value, Value) else value
        data["stopped"] = {"stage": s.stage, "error": s.error.value()} if (s := self.stopped) else None
        data["elapsed_ms"] = self.elapsed_ms.value()
        data["unknown_fields"] = self.conversation.unknown_fields
        return data | {"reused": list(self.reused), "log": list(self.log)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """The inverse of `to_dict`."""
        if data.get("schema_version") != SCHEMA_VERSION:
            raise BadRequest(
                f"the trace has schema_version {data.get('schema_version')!r}", f"accepted is {SCHEMA_VERSION}"
            )
        stopped = data.get("stopped")
        return cls(
            setup=Setup.from_dict(data["setup"]),
            conversation=Conversation.from_dict(data["conversation"]),
            environment=Environment.from_dict(data["environment"]),
            stopped=Stopped(stopped["stage"], FrozenJSON(stopped["error"])) if stopped else None,
            elapsed_ms=FrozenJSON(data.get("elapsed_ms", {})),
            reused=tuple(data.get("reused", ())),
            evaluated=data.get("evaluated"),
            log=tuple(data.get("log", ())),
            **{name: kind.from_dict(data[name]) for name, kind in STAGE_TYPES.items() if data.get(name) is not None},
        )

    def save(self, folder: str | Path) -> Path:
        """Write the trace to a folder (JSON, arrays in `.npz`, hashes); see `workbench.storage`."""
        from workbench.storage import save_trace

        return save_trace(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Trace:
        """Read a saved trace; neither the model nor llama.cpp is needed. Errors: `BadFile`."""
        from workbench.storage import load_trace

        return load_trace(Path(folder))

    @property
    def from_cache(self) -> str:
        """How much of the prompt was scored anew, in words; empty where all of it was, or none."""
        if self.evaluated is None or self.tokens is None or self.evaluated >= len(self.tokens):
            return ""
        return f"{self.evaluated:,} of {len(self.tokens):,} tokens anew"

    @property
    def complete(self) -> bool:
        """Whether nothing stopped it."""
        return self.stopped is None

    def _rows(self) -> list[dict[str, Any]]:
        elapsed = self.elapsed_ms.value()
        return [
            {
                "stage": name,
                "value": repr(getattr(self, name)) if getattr(self, name) is not None else None,
                "elapsed_ms": elapsed.get(name),
                "reused": name in self.reused,
            }
            for name in STAGES
        ]

    def __repr__(self) -> str:
        lines = [f"  {name}: {value!r}" for name in STAGES if (value := getattr(self, name)) is not None]
        if self.stopped:
            lines.append(f"  stopped at {self.stopped.stage}: {self.stopped.error.value()['message']}")
        return "\n".join([f"Trace({self.setup!r})", *lines])


def trace(
    request: Conversation | dict[str, Any] | list[Any] | str | Path,
    setup: Setup | str | Path,
    *,
    until: str = "parsed",
    host: Host | None = None,
    previous: Trace | None = None,
    on_stage: Callable[[str, Any], None] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Trace:
    """Run a request through a stack up to the stage `until` and return every value on the way.

    `setup` may be a model's path. With `host` the model stays loaded in it; without, one is started and
    closed again. Stages of `previous` whose inputs did not change are taken over. `on_stage(name, value)`
    is called as each stage is there. What stops the chain (a template that raises, a prompt that does not
    fit, a dead host, a cancel) is recorded in `stopped`, with all that was had before it.

    Errors: `WorkbenchError` where nothing can be had at all (no such model, no template, a bad request).
    """
    if until not in STAGES:
        raise BadRequest(f"until is {until!r}", f"accepted are {', '.join(STAGES)}")
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    from workbench.chain import Chain

    wanted = STAGES[: STAGES.index(until) + 1]
    chain = Chain(Conversation.of(request), setup, wanted, host, previous)
    chain.on_stage, chain.progress, chain.cancel = on_stage, progress, cancel
    try:
        return chain.run()
    finally:
        chain.close()
