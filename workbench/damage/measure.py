"""Runs the held-out requests through a setup, on one host or several."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.damage.judge import Facts, failed, judge
from workbench.damage.result import Damage, Outcome
from workbench.damage.tasks import Task, tasks
from workbench.errors import BadRequest, Cancelled, HostDied, WorkbenchError
from workbench.progress import Cancel, Progress
from workbench.setup import Setup, default_threads

if TYPE_CHECKING:
    from workbench.engines import Template
    from workbench.gguf.header import Header
    from workbench.runtime.host import Host

LONGEST = 192  # tokens of an answer, where the setup does not say; the longest right one has some 120
DEATHS = 3  # a host that dies so often in a row does so for every request
EOT, EOS = "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eos_token_id"


def measure(
    setup: Setup | str | Path | None = None,
    *,
    requests: Sequence[Task] | int | None = None,
    hosts: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Damage:
    """Every held-out request (or `requests`, a number or tasks) through `setup`; without one, toolsmith as shipped.

    Each request is answered by the setup's own template, tokenizer, sampler and parser, and its right answer is
    scored behind the prompt. Where the setup samples, each request has a seed of its own: the setup's plus its
    number. `hosts` processes share the work, each on one thread unless the setup names a number; without it, one
    for each processor. What keeps a single answer from being had is that request's outcome; a cancel ends
    with the outcomes so far and says so in `notes`.

    Errors: `WorkbenchError` where nothing can be had at all: no such model, no template, a host that cannot load.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup) if setup else None)
    if setup.model is None:
        from workbench.data import toolsmith

        setup = setup.replace(model=str(toolsmith()))
    given = tasks(requests) if requests is None or isinstance(requests, int) else tuple(requests)
    if hosts is not None and hosts < 1:
        raise BadRequest(f"hosts is {hosts}", "accepted is 1 or more")
    count = min(len(given), hosts or default_threads()) or 1
    return _Measurement(setup, given, count, progress, cancel or Cancel()).run()


class _Measurement:
    """The work of one `measure()` call."""

    def __init__(
        self, setup: Setup, given: tuple[Task, ...], hosts: int, progress: Progress | None, cancel: Cancel
    ) -> None:
        from workbench.engines import resolve_template
        from workbench.gguf.header import read_header
        from workbench.parsers import check_parser

        check_parser(setup.parser)
        self.setup, self.tasks, self._progress, self._cancel = setup, given, progress, cancel
        header = read_header(str(setup.model))
        self.template: Template = resolve_template(setup, header)
        self._end = _end_token(header)
        self._host_setup = setup
        if hosts > 1 and setup.runtime.n_threads is None:
            self._host_setup = setup.replace(**{"runtime.n_threads": 1})
        self._hosts = hosts
        self._lock = threading.Lock()
        self._numbers = iter(range(len(given)))
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> Damage:
        with ThreadPoolExecutor(self._hosts) as pool:
            for work in [pool.submit(self._serve) for _ in range(self._hosts)]:
                try:
                    work.result()
                except BaseException:
                    self._numbers = iter(())  # the others finish what they have begun
                    raise
        done = [self._outcomes[i] for i in sorted(self._outcomes)]
        cut = f"cancelled after {len(done)} of {len(self.tasks)} requests"
        return Damage(self.setup, tuple(done), () if len(done) == len(self.tasks) else (cut,))

    def _serve(self) -> None:
        """One host's share: the next request that nobody has taken, until there is none."""
        from workbench.runtime.host import Host

        died: list[HostDied] = []
        with Host(self._host_setup) as host:
            try:
                host.load(progress=None, cancel=self._cancel)
                while (number := self._next()) is not None:
                    task = self.tasks[number]
                    outcome = self._dead(task, died) or self._outcome(host, number, task, died)
                    self._keep(number, outcome)
            except Cancelled:
                return

    def _next(self) -> int | None:
        with self._lock:
            return None if self._cancel.is_set() else next(self._numbers, None)

    def _keep(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[number] = outcome
            if self._progress:
                self._progress("answering held-out requests", len(self._outcomes), len(self.tasks))

    def _dead(self, task: Task, died: list[HostDied]) -> Outcome | None:
        """The outcome of a request that is not tried any more."""
        if len(died) < DEATHS:
            return None
        why = f"not run: the model's process died at {DEATHS} requests in a row: {died[-1]}"
        return _outcome(task, failed(task), why=why)

    def _outcome(self, host: Host, number: int, task: Task, died: list[HostDied]) -> Outcome:
        try:
            outcome = self._answered(host, number, task)
        except Cancelled:
            raise
        except WorkbenchError as error:
            if isinstance(error, HostDied):
                died.append(error)
            return _outcome(task, failed(task), why=str(error))
        died.clear()
        return outcome

    def _answered(self, host: Host, number: int, task: Task) -> Outcome:
        from workbench.engines import render

        choice = self.setup.effective()["template"]
        rendered = render(
            task.conversation,
            self.template,
            engine=choice["engine"],
            clock=choice["clock"],
            track=False,
            cancel=self._cancel,
        )
        if rendered.text is None:
            return _outcome(task, failed(task), why=f"the template failed: {rendered.error}")
        prompt = host.tokenize(rendered.text, cancel=self._cancel).ids.tolist()
        host.score([0], top_k=1, cancel=self._cancel)  # nothing of the request before is reused: the order is no input
        sampling = self._sampling(number, task)
        generation = host.generate(prompt, sampling, top_k=1, cancel=self._cancel)
        if generation.stop_reason == "cancelled":
            raise Cancelled(generation.stop_detail)
        parsed = self._parsed(generation, rendered.text)
        nats, n_tokens = self._likelihood(host, rendered.text, prompt, task)
        seed = int(sampling["seed"]) if sampling["temperature"] > 0 else None
        return _outcome(
            task,
            judge(task, generation, parsed),
            answer=parsed.raw,
            stop=generation.stop_reason,
            nats=nats,
            tokens=n_tokens,
            seed=seed,
        )

    def _parsed(self, generation: Any, text: str) -> Any:
        from workbench.chain import PROMPT_TAIL
        from workbench.damage.judge import ENDED
        from workbench.parsers import parse, preserved_tokens

        return parse(
            generation.answer(preserved_tokens()),
            parser=self.setup.parser,
            prompt_tail=text[-PROMPT_TAIL:],
            complete=generation.stop_reason in ENDED,
        )

    def _sampling(self, number: int, task: Task) -> dict[str, Any]:
        sampling = self.setup.sampling_for(task.conversation)
        if self.setup.sampling.max_tokens is None:
            sampling["max_tokens"] = LONGEST
        if sampling["seed"] >= 0:
            sampling["seed"] = (sampling["seed"] + number) % 2**32
        return sampling

    def _likelihood(self, host: Host, text: str, prompt: list[int], task: Task) -> tuple[float, int]:
        """Nats and tokens of the right answer behind this prompt, with the token that ends it.

        Where the answer's first characters grow together with the prompt's last ones, the tokens from there count.
        """
        whole = host.tokenize(text + task.answer, cancel=self._cancel).ids.tolist()
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(prompt, whole, strict=False)))
        if self._end is not None and whole[-1] != self._end:
            whole.append(self._end)
        scores = host.score(whole, top_k=1, cancel=self._cancel)
        return -math.fsum(scores.logprob[same - 1 : -1].tolist()), len(whole) - same


def _end_token(header: Header) -> int | None:
    """The id with which the model itself ends a turn, whatever the setup says of it; None where the file names none."""
    for key in (EOT, EOS):
        value = header.get(key)
        if isinstance(value, int):
            return value
    return None


def _outcome(task: Task, facts: Facts, **more: Any) -> Outcome:
    given: dict[str, Any] = {"answer": "", "stop": "", "nats": math.nan, "tokens": 0, "seed": None, "why": ""} | more
    return Outcome(id=task.id, kind=task.kind, unseen=task.unseen, facts=facts, **given)
