"""Runs the held-out requests through a setup, on one host or several."""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.damage.judge import Facts, failed, judge
from workbench.damage.result import Damage, Outcome
from workbench.damage.tasks import Task, tasks
from workbench.errors import BadRequest, Cancelled, CannotRun, HostDied, WorkbenchError
from workbench.progress import Cancel, Progress
from workbench.setup import Setup, default_threads

if TYPE_CHECKING:
    from workbench.engines import Template
    from workbench.gguf.header import Header
    from workbench.runtime.host import Host

LONGEST = 192  # tokens of an answer, where the setup does not say; the longest right one has some 120
DEATHS = 3  # a host that dies so often in a row does so for every request
_POLL_S = 0.1  # how often progress is told and a cancel is seen
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
    with the outcomes so far and says so in `notes`, as does a host that could not be had beside another one.

    Errors: `WorkbenchError` where nothing can be had at all: no such model, no template, an engine that is not
    installed, no host that loads, a setting that every request is refused for.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=None if setup is None else str(setup))
    if setup.model is None:
        from workbench.data import toolsmith

        setup = setup.replace(model=str(toolsmith()))
    given = tasks(requests) if requests is None or isinstance(requests, int) else _checked(requests)
    if hosts is not None and (not isinstance(hosts, int) or hosts < 1):
        raise BadRequest(f"hosts is {hosts}", "accepted is a whole number, 1 or more")
    count = min(len(given), hosts or default_threads()) or 1
    return _Measurement(setup, given, count, progress, cancel).run()


def _checked(requests: Any) -> tuple[Task, ...]:
    """The tasks that were given. Errors: `BadRequest`."""
    given = tuple(requests) if isinstance(requests, Iterable) else (requests,)
    if wrong := [item for item in given if not isinstance(item, Task)]:
        raise BadRequest(
            f"a request is {wrong[0]!r}", "accepted are a number, or tasks as workbench.damage.tasks gives"
        )
    return given


class _Stop(Cancel):
    """Set where the user's switch is, or when the run ends by itself."""

    def __init__(self, user: Cancel | None) -> None:
        super().__init__()
        self._user = user

    def is_set(self) -> bool:
        return super().is_set() or (self._user is not None and self._user.is_set())

    def wait(self, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            super().wait(min(left, _POLL_S))
        return self.is_set()


class _Measurement:
    """The work of one `measure()` call."""

    def __init__(
        self, setup: Setup, given: tuple[Task, ...], hosts: int, progress: Progress | None, cancel: Cancel | None
    ) -> None:
        from workbench.engines import engine_named, require_template, resolve_template
        from workbench.gguf.header import read_header
        from workbench.parsers import check_parser

        check_parser(setup.parser)
        self.setup, self.tasks, self._progress, self._cancel = setup, given, progress, _Stop(cancel)
        header = read_header(str(setup.model))
        self.template: Template = resolve_template(setup, header)
        self._choice = setup.effective()["template"]
        engine_named(self._choice["engine"])
        if self._choice["engine"] == "transformers":
            require_template(self.template)
        self._end = _end_token(header)
        self._host_setup = setup
        if hosts > 1 and setup.runtime.n_threads is None:
            self._host_setup = setup.replace(**{"runtime.n_threads": 1})
        self._hosts = hosts
        self._lock = threading.Lock()
        self._waiting = collections.deque(range(len(given)))
        self._again: set[int] = set()  # requests that a dying host gave back
        self._outcomes: dict[int, Outcome] = {}
        self._not_loaded: list[WorkbenchError] = []
        self._refused: list[WorkbenchError] = []
        self._dead: HostDied | None = None
        self._own_notes: dict[str, None] = {}  # what the hosts did otherwise than the setup says

    def run(self) -> Damage:
        with ThreadPoolExecutor(self._hosts) as pool:
            working = {pool.submit(self._serve) for _ in range(self._hosts)}
            try:
                while working:
                    done, working = wait(working, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                    for work in done:
                        work.result()
                    if self._progress:
                        self._progress("answering held-out requests", len(self._outcomes), len(self.tasks))
            except BaseException:  # an interrupt too: the hosts stop what they do, the pool waits for them
                self._cancel.set()
                raise
        if len(self._not_loaded) == self._hosts:
            raise self._not_loaded[0]
        self._give_up()
        self._raise_refusal()
        done_now = [self._outcomes[i] for i in sorted(self._outcomes)]
        return Damage(self.setup, tuple(done_now), tuple(self._notes(len(done_now))))

    def _notes(self, done: int) -> Iterator[str]:
        yield from self._own_notes
        if done < len(self.tasks):
            yield f"cancelled after {done} of {len(self.tasks)} requests"
        for error in self._not_loaded:
            yield f"one of {self._hosts} hosts could not be had: {error}"

    def _give_up(self) -> None:
        """The outcomes of requests that are not tried any more: every host has died too often."""
        if self._dead is None:
            return
        why = f"not run: the model's process died at {DEATHS} requests in a row: {self._dead}"
        for number in self._waiting:
            self._outcomes.setdefault(number, _outcome(self.tasks[number], failed(self.tasks[number]), why=why))

    def _raise_refusal(self) -> None:
        """What every single request was refused for is no damage, but a setup that cannot run."""
        reasons = {str(error) for error in self._refused}
        if len(self._refused) == len(self._outcomes) > 1 and len(reasons) == 1:
            raise self._refused[0]

    def _serve(self) -> None:
        """One host's share: the next request that nobody has taken, until there is none."""
        from workbench.runtime.host import Host

        with Host(self._host_setup) as host:
            try:
                host.load(progress=None, cancel=self._cancel)
            except Cancelled:
                return
            except (CannotRun, HostDied) as error:
                with self._lock:
                    self._not_loaded.append(error)
                return
            with contextlib.suppress(Cancelled):
                self._answer_all(host)
            with self._lock:
                self._own_notes |= dict.fromkeys(host.notes)

    def _answer_all(self, host: Host) -> None:
        died: list[int] = []
        while (number := self._next()) is not None:
            outcome, error = self._outcome(host, number)
            died = [*died, number] if isinstance(error, HostDied) else []
            with self._lock:
                self._outcomes[number] = outcome
                if isinstance(error, HostDied) and len(died) == DEATHS:
                    self._dead = error
                    again = [one for one in died if one not in self._again]
                    self._waiting.extendleft(reversed(again))  # a host that still works may do better
                    self._again.update(again)
                    return

    def _next(self) -> int | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self._cancel.is_set() else None

    def _outcome(self, host: Host, number: int) -> tuple[Outcome, WorkbenchError | None]:
        task = self.tasks[number]
        try:
            return self._answered(host, number, task), None
        except Cancelled:
            raise
        except WorkbenchError as error:
            if isinstance(error, BadRequest | CannotRun):
                with self._lock:
                    self._refused.append(error)
            return _outcome(task, failed(task), why=str(error)), error

    def _answered(self, host: Host, number: int, task: Task) -> Outcome:
        from workbench.engines import render

        choice = self._choice
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
        seed = int(generation.sampling.value()["seed"]) if sampling["temperature"] > 0 else None
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
            sampling["seed"] = (sampling["seed"] + number) % (2**32 - 1)  # the last one means: at random
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
