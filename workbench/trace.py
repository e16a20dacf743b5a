"""One request through one stack: `trace()` strings the stages together, `Trace` holds what came out.

This is the only place that knows the order of the stages and what each of them reads, so it is also
the place that decides what a change makes stale.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench import environment
from workbench.conversation import Conversation
from workbench.environment import Environment
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.progress import Cancel, Progress
from workbench.setup import Setup
from workbench.stages import Generation, Parsed, Rendered, Scores, Tokens
from workbench.values import SCHEMA_VERSION, FrozenJSON, Value

if TYPE_CHECKING:
    from workbench.gguf.header import Header
    from workbench.runtime.host import Host

STAGES = ("rendered", "tokens", "scores", "generation", "parsed")
STAGE_TYPES: dict[str, Any] = {
    "rendered": Rendered,
    "tokens": Tokens,
    "scores": Scores,
    "generation": Generation,
    "parsed": Parsed,
}
# The parts of a setup that each stage reads itself; what earlier stages read reaches it through their values.
READS: dict[str, tuple[str, ...]] = {
    "rendered": ("model", "template", "metadata"),
    "tokens": ("model", "metadata", "tokenizer"),
    "scores": ("model", "metadata", "runtime"),
    "generation": ("model", "metadata", "runtime", "sampling"),
    "parsed": ("parser",),
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
    run = _Run(Conversation.of(request), setup, host, previous, on_stage, progress, cancel)
    try:
        return run.until(until)
    finally:
        run.close()


def first_touched(before: Setup, after: Setup) -> str | None:
    """The first stage that a change of setup touches, None where nothing differs."""
    for stage in STAGES:
        if any(getattr(before, part) != getattr(after, part) for part in READS[stage]):
            return stage
    return None


class _Run:
    """The work of one `trace()` call: each stage is one method named after it."""

    def __init__(
        self,
        conversation: Conversation,
        setup: Setup,
        host: Host | None,
        previous: Trace | None,
        on_stage: Callable[[str, Any], None] | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        from workbench.gguf.header import read_header
        from workbench.parsers import check_parser

        self.conversation, self.setup, self.previous = conversation, setup, previous
        self.on_stage, self.progress, self.cancel = on_stage, progress, cancel
        self.sampling = setup.sampling_for(conversation)
        check_parser(setup.parser)
        self.header: Header | None = read_header(setup.model) if setup.model else None
        self.values: dict[str, Any] = {}
        self.elapsed_ms: dict[str, float] = {}
        self.reused: list[str] = []
        self.stopped: Stopped | None = None
        self.evaluated: int | None = None
        self.same_model = self._same_model()
        self._host, self._own_host = host, host is None

    def until(self, last: str) -> Trace:
        for stage in STAGES[: STAGES.index(last) + 1]:
            if not self._take_over(stage) and not self._compute(stage):
                break
        return self._result()

    def close(self) -> None:
        if self._own_host and self._host is not None:
            self._host.close()

    # -- the stages ---------------------------------------------------------------------------------

    def rendered(self) -> Rendered:
        from workbench.engines import render, resolve_template

        choice = self.setup.effective()["template"]
        template = resolve_template(self.setup, self.header)
        return render(self.conversation, template, engine=choice["engine"], clock=choice["clock"], cancel=self.cancel)

    def tokens(self) -> Tokens:
        return self.host().tokenize(self.values["rendered"].text, progress=self.progress, cancel=self.cancel)

    def scores(self) -> Scores:
        host = self.host()
        scores = host.score(self.values["tokens"].ids, progress=self.progress, cancel=self.cancel)
        self.evaluated = host.evaluated
        return scores

    def generation(self) -> Generation:
        ids = self.values["tokens"].ids
        return self.host().generate(ids, self.sampling, progress=self.progress, cancel=self.cancel)

    def parsed(self) -> Parsed:
        from workbench.parsers import parse, preserved_tokens

        generation: Generation = self.values["generation"]
        return parse(
            generation.answer(preserved_tokens()),
            parser=self.setup.parser,
            prompt_tail=self.values["rendered"].text[-200:],
            complete=generation.stop_reason in ("end-of-generation", "stop-text"),
        )

    # -- how they hang together ---------------------------------------------------------------------

    def host(self) -> Host:
        from workbench.runtime.host import Host

        if self.setup.model is None:
            raise BadRequest("the setup names no model", "accepted is a GGUF file's path", "set its key model")
        if self._host is None:
            self._host = Host(self.setup)
        else:
            self._host.use(self.setup)
        return self._host

    def _compute(self, stage: str) -> bool:
        started = time.perf_counter()
        try:
            value = getattr(self, stage)()
        except WorkbenchError as error:
            if stage == "rendered" and not isinstance(error, Cancelled):
                raise  # nothing was had: the caller's mistake, not a result
            self.stopped = Stopped(stage, FrozenJSON(error.to_dict()))
            return False
        self.elapsed_ms[stage] = round((time.perf_counter() - started) * 1000, 3)
        return self._keep(stage, value)

    def _keep(self, stage: str, value: Any) -> bool:
        self.values[stage] = value
        if self.on_stage:
            self.on_stage(stage, value)
        reason = _why_it_ends(stage, value)
        if reason:
            self.stopped = Stopped(stage, FrozenJSON(reason))
        return reason is None

    def _take_over(self, stage: str) -> bool:
        old = self.previous
        value = getattr(old, stage) if old else None
        if old is None or value is None or not self._fresh(stage, old) or _why_it_ends(stage, value):
            return False
        self.reused.append(stage)
        return self._keep(stage, value)

    def _fresh(self, stage: str, old: Trace) -> bool:
        if not self.same_model or any(getattr(old.setup, p) != getattr(self.setup, p) for p in READS[stage]):
            return False
        if stage == "rendered":
            now = old.setup.template.clock is None and any("clock" in note for note in old.rendered.notes)  # type: ignore[union-attr]
            return not now and _template_fields(old.conversation) == _template_fields(self.conversation)
        before = STAGES[STAGES.index(stage) - 1] if stage != "generation" else "tokens"
        same_input = bool(getattr(old, before) == self.values[before])
        if stage == "generation":
            return same_input and old.setup.sampling_for(old.conversation) == self.sampling
        return same_input

    def _same_model(self) -> bool:
        if self.previous is None:
            return False
        return bool(self.previous.environment.files.value() == self._files())

    def _files(self) -> dict[str, Any]:
        from workbench.gguf.fingerprint import fingerprint

        files: dict[str, Any] = {}
        if self.header is not None:
            path = Path(self.header.path)
            files["model"] = {
                "name": path.name,
                "bytes": self.header.file_size,
                "fingerprint": fingerprint(path),
            }
        source = self.setup.template.source or ""
        if source.startswith("file:"):
            files["template"] = _file_facts(Path(source[5:]))
        return files

    def _result(self) -> Trace:
        runtime = self._host.info() if self._host is not None and "scores" in self.values else {}
        return Trace(
            setup=self.setup,
            conversation=self.conversation,
            environment=environment.collect(runtime=runtime, files=self._files()),
            stopped=self.stopped,
            elapsed_ms=FrozenJSON(self.elapsed_ms),
            reused=tuple(self.reused),
            evaluated=self.evaluated,
            log=self._host.log if self._host is not None else (),
            **self.values,
        )


def _why_it_ends(stage: str, value: Any) -> dict[str, Any] | None:
    if stage == "rendered" and value.error is not None:
        where = f" (template line {value.error.line})" if value.error.line else ""
        return {"code": "template-error", "message": f"{value.error.type}: {value.error.message}{where}"}
    if stage == "generation" and value.stop_reason == "cancelled":
        return {"code": "cancelled", "message": "the generation was cancelled; what was written so far is kept"}
    return None


def _template_fields(conversation: Conversation) -> FrozenJSON:
    names = ("messages", "tools", "documents", "chat_template_kwargs", "add_generation_prompt")
    return FrozenJSON([conversation.data.get(name) for name in names])


def _file_facts(path: Path) -> dict[str, Any]:
    import hashlib

    try:
        content = path.read_bytes()
    except OSError:
        return {"name": path.name}
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
