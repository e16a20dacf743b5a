"""The chain of stages: the only code that knows their order, what each one reads, and what a change makes stale."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import environment
from workbench.conversation import TEMPLATE_FIELDS, Conversation
from workbench.environment import Environment
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.progress import Cancel, Progress
from workbench.setup import Setup
from workbench.stages import Generation, Parsed, Rendered, Scores, Tokens
from workbench.trace import STAGES, Stopped, Trace
from workbench.values import FrozenJSON

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workbench.engines import Template
    from workbench.gguf.header import Header
    from workbench.runtime.host import Host

# The parts of a setup that each stage reads itself; what earlier stages read reaches it through their values.
READS: dict[str, tuple[str, ...]] = {
    "rendered": ("model", "template", "metadata"),
    "tokens": ("model", "metadata", "tokenizer"),
    "scores": ("model", "metadata", "runtime"),
    "generation": ("model", "metadata", "runtime", "sampling"),
    "parsed": ("parser",),
}
# The stage whose value each stage works on.
INPUT = {"tokens": "rendered", "scores": "tokens", "generation": "tokens", "parsed": "generation"}
CLOCK = "strftime_now"
PROMPT_TAIL = 200  # characters of the prompt that a parser may look at


def first_touched(before: Setup, after: Setup) -> str | None:
    """The first stage that a change of setup touches, None where nothing differs."""
    for stage in STAGES:
        if any(getattr(before, part) != getattr(after, part) for part in READS[stage]):
            return stage
    return None


class Chain:
    """The work of one `trace()` call: each stage is one method named after it.

    Everything that decides the result is read once, at the start: the header, the template's text and the
    files' identities, so that a file that changes while the chain runs cannot be taken for what was used.
    """

    def __init__(
        self,
        conversation: Conversation,
        setup: Setup,
        wanted: tuple[str, ...],
        host: Host | None,
        previous: Trace | None,
    ) -> None:
        from workbench.engines import require_template, resolve_template
        from workbench.gguf.header import read_header
        from workbench.gguf.overrides import n_tokens
        from workbench.parsers import check_parser
        from workbench.sampling.asked import check_ids

        self.conversation, self.setup, self.wanted, self.previous = conversation, setup, wanted, previous
        self.on_stage: Callable[[str, Any], None] | None = None
        self.progress: Progress | None = None
        self.cancel: Cancel | None = None
        self.values: dict[str, Any] = {}
        self.elapsed_ms: dict[str, float] = {}
        self.reused: list[str] = []
        self.stopped: Stopped | None = None
        self.evaluated: int | None = None
        self._early: Future[Tokens] | None = None
        self.runtime: dict[str, Any] = {}
        self._host, self._own_host = host, host is None
        check_parser(setup.parser)
        self.sampling = setup.sampling_for(conversation) if "generation" in wanted else {}
        self.named = setup.sampling_names(conversation)
        self.header: Header | None = read_header(setup.model) if setup.model else None
        if (n := n_tokens(self.header, setup.metadata.value())) is not None:
            check_ids(self.sampling, n, self.named)
        self.template: Template = resolve_template(setup, self.header)
        if setup.effective()["template"]["engine"] == "transformers":
            require_template(self.template)  # each other engine has something to fall back on
        self.environment = environment.collect(files=files_of(self.template, self.header))

    def run(self) -> Trace:
        """Every wanted stage in order, taken over where nothing it depends on changed, until one stops the chain."""
        for stage in self.wanted:
            if not self._take_over(stage) and not self._compute(stage):
                break
        return self._result()

    def close(self) -> None:
        """End a host that was started for this chain alone; no work of this chain goes on behind it."""
        if self._early is not None:
            self._early.exception()
        if self._own_host and self._host is not None:
            self._host.close()

    # -- the stages ---------------------------------------------------------------------------------

    def rendered(self) -> Rendered:
        """The prompt."""
        from workbench.engines import render

        choice = self.setup.effective()["template"]
        return render(
            self.conversation,
            self.template,
            engine=choice["engine"],
            clock=choice["clock"],
            on_text=self._begin_tokens,
            cancel=self.cancel,
        )

    def tokens(self) -> Tokens:
        """The prompt's tokens."""
        return self._early.result() if self._early is not None else self._tokenized(self.values["rendered"].text)

    def scores(self) -> Scores:
        """What the model gives every position."""
        host = self.host()
        scores = host.score(self.values["tokens"].ids, progress=self.progress, cancel=self.cancel)
        self.evaluated, self.runtime = host.evaluated, host.info()
        return scores

    def generation(self) -> Generation:
        """The answer."""
        ids = self.values["tokens"].ids
        host = self.host()
        generation = host.generate(ids, self.sampling, named=self.named, progress=self.progress, cancel=self.cancel)
        self.runtime = host.info()
        return generation

    def parsed(self) -> Parsed:
        """What a client makes of the answer."""
        from workbench.parsers import parse, preserved_tokens

        generation: Generation = self.values["generation"]
        return parse(
            generation.answer(preserved_tokens()),
            parser=self.setup.parser,
            prompt_tail=self.values["rendered"].text[-PROMPT_TAIL:],
            complete=generation.stop_reason in ("end-of-generation", "stop-text"),
        )

    # -- how they hang together ---------------------------------------------------------------------

    def _begin_tokens(self, text: str) -> None:
        """Tokenise while the origins are still followed, unless an earlier trace may have the tokens."""
        from concurrent.futures import ThreadPoolExecutor

        old = self.previous.rendered if self.previous else None
        if "tokens" in self.wanted and (old is None or old.text != text):
            beside = ThreadPoolExecutor(1, thread_name_prefix="workbench-tokens")
            self._early = beside.submit(self._tokenized, text)
            beside.shutdown(wait=False)

    def _tokenized(self, text: str) -> Tokens:
        started = time.perf_counter()
        tokens = self.host().tokenize(text, progress=self.progress, cancel=self.cancel)
        self.elapsed_ms["tokens"] = round((time.perf_counter() - started) * 1000, 3)
        return tokens

    def host(self) -> Host:
        """The host, on this chain's setup. Errors: `BadRequest` where the setup names no model."""
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
        self.elapsed_ms.setdefault(stage, round((time.perf_counter() - started) * 1000, 3))
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
        if stage == "scores":
            self.runtime = old.environment.runtime.value()
        return self._keep(stage, value)

    def _fresh(self, stage: str, old: Trace) -> bool:
        """Whether the old trace's value of `stage` is what computing it now would give."""
        if any(getattr(old.setup, part) != getattr(self.setup, part) for part in READS[stage]):
            return False
        if not self._same_machine(old) or not self._same_file("model", old):
            return False
        if stage == "rendered":
            return self._same_file("template", old) and not self._asks_the_time() and self._same_request(old)
        if stage in ("scores", "generation") and not self._same_buffers(old):
            return False
        same = bool(getattr(old, INPUT[stage]) == self.values[INPUT[stage]])
        if stage == "generation":
            return same and old.setup.sampling_for(old.conversation) == self.sampling
        if stage == "parsed":
            return same and _tail(old.rendered) == _tail(self.values["rendered"])
        return same

    def _same_machine(self, old: Trace) -> bool:
        mine, theirs = self.environment, old.environment
        return mine.versions == theirs.versions and mine.system == theirs.system

    def _same_buffers(self, old: Trace) -> bool:
        """Whether extra buffers were used as they would be now; an old trace that does not say counts as the same."""
        from workbench.runtime import limits

        now = limits.known().runtime(self.setup)["use_extra_bufts"]
        return bool(old.environment.runtime.value().get("model_params", {}).get("use_extra_bufts", now) == now)

    def _same_file(self, role: str, old: Trace) -> bool:
        return bool(self.environment.files.value().get(role) == old.environment.files.value().get(role))

    def _same_request(self, old: Trace) -> bool:
        return _template_fields(old.conversation) == _template_fields(self.conversation)

    def _asks_the_time(self) -> bool:
        """Whether another render may read another time."""
        texts = [self.template.text, *(text for _, text in self.template.named)]
        return self.setup.template.clock is None and any(CLOCK in text for text in texts)

    def _result(self) -> Trace:
        mine = self.environment
        return Trace(
            setup=self.setup,
            conversation=self.conversation,
            environment=Environment(mine.versions, mine.system, FrozenJSON(self.runtime), mine.files),
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
    return FrozenJSON([conversation.data.get(name) for name in TEMPLATE_FIELDS])


def _tail(rendered: Rendered | None) -> str:
    return (rendered.text or "")[-PROMPT_TAIL:] if rendered is not None else ""


def files_of(template: Template, header: Header | None) -> dict[str, Any]:
    """The files that a trace is made from, by content: the template, and the model where there is one."""
    from workbench.gguf.fingerprint import fingerprint

    content = "\0".join([template.text, *(part for pair in template.named for part in pair)])
    content += "\0".join(part for pair in template.special_tokens for part in pair)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    files: dict[str, Any] = {"template": {"name": template.label, "sha256": digest}}
    if header is not None:
        path = Path(header.path)
        files["model"] = {"name": path.name, "bytes": header.file_size, "fingerprint": fingerprint(path)}
    return files


def same_files(setup: Setup, environment: Environment) -> bool:
    """Whether the files that `setup` names still hold what they held in this environment."""
    from workbench.engines import resolve_template
    from workbench.gguf.header import read_header

    try:
        header = read_header(setup.model) if setup.model else None
        return bool(environment.files.value() == files_of(resolve_template(setup, header), header))
    except WorkbenchError:
        return False
