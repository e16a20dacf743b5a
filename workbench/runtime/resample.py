"""Sampler chains along a text that is given: at each place what they would choose, then the text's own token goes on.

Shapes: n places, c chains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.errors import Cancelled
from workbench.runtime.candidates import Distribution
from workbench.runtime.generation import start_chain
from workbench.runtime.samplers import Applied, SamplerChain
from workbench.runtime.scoring import Array
from workbench.runtime.session import Report, Session
from workbench.sampling.chain import pythons


def resample(
    session: Session,
    ids: list[int],
    start: int,
    samplings: list[dict[str, Any]],
    *,
    one_by_one: bool,
    report: Report,
) -> dict[str, Array]:
    """What each chain makes of the places `start` (at least 1) to the last of `ids`; n places in all.

    `drawn` (n, c) are the ids that the chains chose, `first` (n, c) the likeliest they left, `probs` (n, c, 1 + c)
    the probability under each chain of the text's own token and of every chain's first one; where the temperature
    is 0, both are those before it, for behind it there is one candidate alone. With `one_by_one` the tokens are
    evaluated as a generation does, so that its logits come again bit for bit. Errors: `Cancelled`.
    """
    with contextlib.ExitStack() as started:
        chains = [started.enter_context(contextlib.closing(start_chain(session, given, {}))) for given in samplings]
        for chain, given in zip(chains, samplings, strict=True):
            for token in [] if pythons(given) else ids[:start]:
                chain.accept(token, generated=False)
        return _along(session, ids, start, chains, one_by_one, report)


def _along(
    session: Session, ids: list[int], start: int, chains: list[SamplerChain], one_by_one: bool, report: Report
) -> dict[str, Array]:
    n, c = len(ids) - start, len(chains)
    drawn, first = np.zeros((n, c), np.int32), np.zeros((n, c), np.int32)
    probs = np.zeros((n, c, 1 + c))
    for row, logits in enumerate(_rows(session, ids, start, one_by_one)):
        applied = [chain.apply(logits) for chain in chains]
        left = [_left(chain, found, logits) for chain, found in zip(chains, applied, strict=True)]
        drawn[row] = [found.id for found in applied]
        first[row] = [found.best(1)[0] for found in left]
        wanted = np.array([ids[start + row], *first[row]])  # (1 + c,)
        probs[row] = [found.of(wanted) for found in left]
        for chain in chains:
            chain.accept(ids[start + row])
        report("sampling along the text", row + 1, n)
        if session.stop:
            raise Cancelled(f"sampling along the text was stopped at token {start + row:,}")
    return {"drawn": drawn, "first": first, "probs": probs}


def _left(chain: SamplerChain, applied: Applied, logits: Array) -> Distribution:
    """What the chain left, or what stood before a temperature of 0."""
    for place, sampler in enumerate(chain.samplers):
        if sampler.name == "temperature" and sampler.parameters["temperature"] <= 0 >= sampler.parameters["range"]:
            every = np.arange(len(logits), dtype=np.int32)
            return applied.left[place - 1] if place else Distribution(every, logits, len(logits))
    return applied.left[-1]


def _rows(session: Session, ids: list[int], start: int, one_by_one: bool) -> Iterator[Array]:
    """The logits (v,) behind which each token from `start` on stands, in llama.cpp's own memory until the next one."""
    library, last = session.library, len(ids) - 1
    at = session.keep_prefix(ids[:last], start - 1)
    if one_by_one:
        steps = [*range(at, start, int(library.llama_n_batch(session.context))), *range(start, last)]
    else:
        steps = [*range(at, last, int(library.llama_n_ubatch(session.context)))]
    for begin, end in zip(steps, [*steps[1:], last], strict=True):
        session.decode(ids[begin:end], all_logits=not one_by_one)
        rows = session.logits(1 if one_by_one else end - begin)
        if one_by_one:
            if end >= start:
                yield rows[0]
        else:
            yield from rows[max(0, start - 1 - begin) :]
