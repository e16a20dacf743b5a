"""What the explorer shows below its stages, one thing at a time: each is a value that a script can get, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.branches import branch
from workbench.compare.branches import Branches
from workbench.compare.surprises import surprises
from workbench.engines import Template, resolve_template
from workbench.gguf.header import read_header
from workbench.lens import lens
from workbench.measured import measured
from workbench.progress import Cancel, Progress
from workbench.renders import render_all, with_ids
from workbench.runtime.host import Host
from workbench.sampling.table import sampler_trace
from workbench.setup import Setup
from workbench.trace import Trace
from workbench.values import Value


class Asked(NamedTuple):
    """What is shown above: the trace, its host, the selected prompt token or answer token (`step`), None for none.

    `candidate` is the token with which the answer is to go on at `step`, `so_far` what stands below already.
    """

    trace: Trace
    host: Host
    token: int | None = None
    step: int | None = None
    candidate: int | None = None
    so_far: Value | str | None = None


Shown = Value | str  # a value, or in words why there is none


def prompt_goes(asked: Asked, progress: Progress, cancel: Cancel) -> Shown:
    """Who has how much of the prompt, which fields it hangs on, what is not in it. Errors: `Cancelled`."""
    found, setup = asked.trace, asked.trace.setup
    if found.rendered is None or found.rendered.text is None:
        return "not evaluated: there is no prompt"
    template, clock = _template(setup), setup.effective()["template"]["clock"]
    rest: Any = {"clock": clock, "tokens": found.tokens, "progress": progress, "cancel": cancel}
    return measured(found.conversation, template, found.rendered, **rest)


def _template(setup: Setup) -> Template:
    return resolve_template(setup, read_header(setup.model) if setup.model else None)


def every_engine(asked: Asked, progress: Progress, cancel: Cancel) -> Shown:
    """The request as every engine writes it, with token ids. Errors: those of the host, `Cancelled`."""
    found, setup = asked.trace, asked.trace.setup
    template, clock = _template(setup), setup.effective()["template"]["clock"]
    renders = render_all(found.conversation, template, clock=clock, track=False, progress=progress, cancel=cancel)
    return with_ids(renders, setup, host=asked.host, cancel=cancel)


def worst_places(asked: Asked, _progress: Progress, _cancel: Cancel) -> Shown:
    """Where the model did not expect what stands in the prompt."""
    found = asked.trace
    if found.scores is None or found.tokens is None:
        return "not evaluated: the prompt has no scores; run up to the scores or the answer"
    return surprises(found.scores, found.tokens, found.rendered)


def samplers(asked: Asked, _progress: Progress, _cancel: Cancel) -> Shown:
    """The candidates of the selected answer token before and behind every sampler; of the first where none is."""
    answer = asked.trace.generation
    if answer is None or not len(answer):
        return "not evaluated: there is no answer; run up to the answer"
    return sampler_trace(answer)[min(asked.step or 0, len(answer) - 1)]


def layers(asked: Asked, progress: Progress, cancel: Cancel) -> Shown:
    """What each layer would have said in the place of the selected prompt token; behind the prompt where none is."""
    tokens = asked.trace.tokens
    if tokens is None:
        return "not evaluated: there are no tokens"
    at = asked.token if asked.token and asked.token < len(tokens) else len(tokens)
    return lens(asked.trace, asked.trace.setup, [at - 1], host=asked.host, progress=progress, cancel=cancel)


def other_answers(asked: Asked, progress: Progress, cancel: Cancel) -> Shown:
    """The answer beside those that go on from another candidate."""
    if asked.step is None or asked.candidate is None or asked.trace.generation is None:
        return "select a token of the answer, then click the candidate with which it is to go on"
    known = isinstance(asked.so_far, Branches) and asked.so_far.base == asked.trace.generation
    given = asked.so_far if isinstance(asked.so_far, Branches) and known else asked.trace
    setup, token = asked.trace.setup, asked.candidate
    return branch(given, setup, asked.step, token, host=asked.host, progress=progress, cancel=cancel)


Below = Callable[[Asked, Progress, Cancel], Shown]
BELOW: dict[str, Below] = {
    "reach": prompt_goes,
    "engines": every_engine,
    "surprises": worst_places,
    "samplers": samplers,
    "lens": layers,
    "branches": other_answers,
}
FOLLOWS_SELECTION = ("samplers", "lens")
