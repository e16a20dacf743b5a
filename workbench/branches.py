"""Go on from another candidate: the answer that the model would have written had another token been drawn."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.compare.branches import Branch, Branches
from workbench.errors import BadRequest, CannotRun
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.stages import Generation, Step, Tokens, show_bytes
from workbench.trace import Trace, trace
from workbench.values import clip

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.progress import Cancel, Progress

    Given = Conversation | dict[str, Any] | list[Any] | str | Path | Trace | Branches


def branch(
    given: Given,
    setup: Setup | str | Path,
    step: int,
    token: int,
    *,
    host: Host | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Branches:
    """Put the id `token` in the place of answer token `step` and let the model go on, with the same sampling.

    `given` is a request (answered first), a trace with its answer, or earlier branches, to which this one is
    added. With `host` the keys and values of everything before the step are still in its cache: only what is
    new is evaluated. The samplers see prompt and answer so far (a repeat penalty counts them); a seed begins
    anew at the branch. `max_tokens` counts the whole answer.

    Errors: `BadRequest` for a step outside the answer, an unknown id or what is no number, `CannotRun` for a request
    that gets no answer, those of `trace()` and of every call of a `Host`.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    step, token = _whole("step", step), _whole("token", token)
    with contextlib.ExitStack() as stack:
        running = host or stack.enter_context(Host(setup))
        running.use(setup)
        so_far = _branches(given, setup, running, progress, cancel)
        old = _step(so_far.base, step)
        ids = [*so_far.tokens.ids.tolist(), *so_far.base.ids[:step], token]
        piece, sampling = running.pieces([token])[token], _sampling(so_far.base, step)
        if running.entries(cancel=cancel).ends[token]:
            detail = f"the branch begins with {show_bytes(piece)} (id {token}), which ends an answer"
            written = Generation((), "end-of-generation", detail, "", so_far.base.sampling)
            evaluated: int | None = 0
        else:
            written = running.generate(ids, sampling, answer=len(so_far.tokens), progress=progress, cancel=cancel)
            # Every written token but the last was evaluated too; what a cancelled call evaluated is not told.
            evaluated = running.evaluated - max(0, len(written) - 1) if written.stop_reason != "cancelled" else None
    shared = b"".join(one.piece for one in so_far.base.steps[:step])
    known = dict(zip(old.top_ids, enumerate(old.top_logprobs, 1), strict=True)).get(token)
    rank, logprob = known if known is not None else (None, None)
    written = _of_the_whole(written, so_far.base)
    new = Branch(step, token, piece, shared, written, evaluated, logprob, rank)
    return replace(so_far, branches=(*so_far.branches, new))


def _sampling(base: Generation, step: int) -> dict[str, Any]:
    """The answer's own, with what is left of its tokens behind `step`. Errors: `BadRequest` for one with a grammar."""
    sampling: dict[str, Any] = base.sampling.value()
    if sampling.get("grammar"):
        raise BadRequest(
            "the answer follows a grammar, which would begin anew at a branch",
            "accepted are answers without one",
            "leave out sampling.grammar",
        )
    if sampling["max_tokens"] >= 0:
        sampling["max_tokens"] = max(0, sampling["max_tokens"] - step - 1)
    return sampling


def _of_the_whole(written: Generation, base: Generation) -> Generation:
    """What ended it, told of the whole answer: the limit is that of the base."""
    if written.stop_reason != "max-tokens":
        return written
    limit = base.sampling.value()["max_tokens"]
    return replace(written, stop_detail=f"max_tokens is {limit:,} for the whole answer")


def _whole(name: str, number: int) -> int:
    try:
        return operator.index(number)
    except TypeError as error:
        raise BadRequest(
            f"{name} is {clip(repr(number), 80)}", "accepted is a whole number", "Host.tokenize tells a text's ids"
        ) from error


def _branches(given: Given, setup: Setup, host: Host, progress: Progress | None, cancel: Cancel | None) -> Branches:
    if isinstance(given, Branches):
        return given
    if not isinstance(given, Trace):
        given = trace(given, setup, until="generation", host=host, progress=progress, cancel=cancel)
    tokens: Tokens | None = given.tokens
    if tokens is None or given.generation is None:
        why = given.stopped.error.value()["message"] if given.stopped else "it was made without an answer"
        raise CannotRun(f"there is no answer to branch from: {why}", "accepted is a request that gets an answer")
    return Branches(tokens, given.generation)


def _step(generation: Generation, step: int) -> Step:
    if not 0 <= step < len(generation):
        raise BadRequest(
            f"step is {step}",
            f"the answer has the steps 0 to {len(generation) - 1}" if generation.steps else "no steps",
        )
    return generation.steps[step]
