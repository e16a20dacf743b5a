"""The same logits sampled in two ways: chains along one text, presets on one request, a recorded answer once more."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.compare.sampling import Answers, Chains, Place, Redrawn, Share
from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.gguf.header import read_header
from workbench.prompt import prompt_of
from workbench.runtime.host import Host
from workbench.runtime.protocol import unpack_arrays
from workbench.sampling.effective import Effective, chain_settings, effective
from workbench.sampling.presets import Preset
from workbench.setup import SAMPLING_DEFAULTS, Setup
from workbench.trace import Trace
from workbench.values import FrozenJSON

if TYPE_CHECKING:
    from workbench.progress import Cancel, Progress

Request = Conversation | dict[str, Any] | list[Any] | Path
NOBODY = Conversation.of([{"role": "user", "content": ""}])  # asks for no sampling of its own


def compare_chains(
    given: Request | str,
    setup: Setup | str | Path,
    a: Mapping[str, Any] | str,
    b: Mapping[str, Any] | str,
    *,
    answer: str | None = None,
    host: Host | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Chains:
    """Two sampler chains at every place of one text, each place on the same logits: who stands first under either.

    `given` is a request (a body, messages, a file's `Path`), looked at along `answer`, the text behind its prompt
    (None: along the prompt itself), both tokenised as one; or a plain text (`str`). `a` and `b` are
    changes to the setup's sampling, such as `{"repeat_penalty": 1.1}`, or a preset's name. The samplers hear of the
    tokens before a place as in a generation: a penalty counts them. A grammar is refused: it follows an answer.

    Errors: `BadRequest`, and those of every call of a `Host`.
    """
    with contextlib.ExitStack() as stack:
        running, setup = _running(stack, setup, host)
        request = NOBODY if isinstance(given, str) else Conversation.of(given)
        samplings = [
            request_settings(request, setup, side).sampling
            if isinstance(side, str)
            else chain_settings(side, setup, request)
            for side in (a, b)
        ]
        if any(sampling.get("grammar") for sampling in samplings):
            raise BadRequest("a chain has a grammar", "accepted are chains without one", "leave out sampling.grammar")
        ids, start = _text(given, answer, setup, running, progress, cancel)
        arrays = _resample(running, ids, start, samplings, one_by_one=False, progress=progress, cancel=cancel)
        return _chains(running, ids, start, samplings, arrays)


def compare_presets(
    given: Request,
    setup: Setup | str | Path,
    a: Preset | str,
    b: Preset | str,
    *,
    host: Host | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Answers:
    """One request as two programs sample it: the settings that each really uses, and both answers.

    The prompt is the setup's for both, and so is the seed where nobody names one: what differs comes of the
    settings. Errors: `BadRequest`, and those of every call of a `Host`.
    """
    with contextlib.ExitStack() as stack:
        running, setup = _running(stack, setup, host)
        request = Conversation.of(given)
        sides = [_comparable(request_settings(request, setup, preset), setup) for preset in (a, b)]
        prompt = prompt_of(request, setup, host=running, progress=progress, cancel=cancel)
        asked = [side.sampling for side in sides]
        # Evaluated beforehand the prompt is in the cache for both: to the second alone its logits would be others.
        running.generate(prompt.ids, asked[0] | {"max_tokens": 0}, progress=progress, cancel=cancel)
        answers = [running.generate(prompt.ids, sampling, progress=progress, cancel=cancel) for sampling in asked]
        return Answers(sides[0], sides[1], answers[0], answers[1])


def request_settings(
    given: Request, setup: Setup | str | Path, preset: Preset | str, *, server: Mapping[str, Any] | None = None
) -> Effective:
    """What a request gets from a preset's program with this setup's model: `effective` with the model file's own keys.

    `server` are the settings that the program was started with, below the request's and above its defaults.

    Errors: `BadRequest`, `BadFile`.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    keys: dict[str, Any] = read_header(setup.model).metadata.value() if setup.model else {}
    keys = {key: value for key, value in (keys | setup.metadata.value()).items() if value is not None}
    return effective(Conversation.of(given), preset, setup, model_keys=keys, server=server)


def redraw(
    recorded: Trace,
    *,
    host: Host | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Redrawn:
    """Draw a trace's answer once more, along its own tokens, with the recorded settings and seed.

    The prompt is evaluated as `trace()` does it in one go, the answer token by token: on the same machine each is
    drawn again. Where the trace took keys and values over from an earlier one, its logits were others by the noise
    of a batch's shape, which a near tie can show. Errors: `BadRequest` for
    a trace without an answer, and those of every call of a `Host`.
    """
    tokens, generation = recorded.tokens, recorded.generation
    if tokens is None or generation is None or not len(generation):
        raise BadRequest("the trace has no answer", "accepted is a trace that reached its generation")
    with contextlib.ExitStack() as stack:
        running, _ = _running(stack, recorded.setup, host)
        running.score([0 if tokens.ids[0] else 1], cancel=cancel)  # nothing of the prompt is in the cache any more
        if recorded.scores is not None:
            running.score(tokens.ids, cancel=cancel)  # as the trace did before its answer
        ids = [*tokens.ids.tolist(), *generation.ids]
        sampling = [generation.sampling.value()]
        arrays = _resample(running, ids, len(tokens), sampling, one_by_one=True, progress=progress, cancel=cancel)
    last = [step.stages[-1] for step in generation]
    unknown = (i for i, s in enumerate(last) if s.n_left > 1 and (s.draw is None or s.draw.number is None))
    return Redrawn(generation.ids, tuple(arrays["drawn"][:, 0].tolist()), tuple(unknown))


def _running(stack: contextlib.ExitStack, setup: Setup | str | Path, host: Host | None) -> tuple[Host, Setup]:
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    if host is None:
        return stack.enter_context(Host(setup)), setup
    stack.callback(host.use, host.setup)  # a host that was lent goes back as it was
    host.use(setup)
    return host, setup


def _text(
    given: Request | str, answer: str | None, setup: Setup, host: Host, progress: Progress | None, cancel: Cancel | None
) -> tuple[list[int], int]:
    """The ids, and the first place that is looked at. Errors: `BadRequest` where there is none, or for no text."""
    if not isinstance(answer, str | None):
        raise BadRequest(f"the answer is {answer!r}", "accepted is a text, or None for the prompt alone")
    if isinstance(given, str):
        text, ids = given, host.tokenize(given, cancel=cancel).ids.tolist()
    else:
        prompt = prompt_of(given, setup, host=host, progress=progress, cancel=cancel)
        text, ids = (prompt.rendered and prompt.rendered.text) or "", prompt.ids
    start = 1
    if answer is not None:
        whole = host.tokenize(text + answer, cancel=cancel).ids.tolist()
        start = max(1, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, whole, strict=False))))
        ids = whole
    if len(ids) <= start:
        raise BadRequest(
            f"{start} of the text's {len(ids)} tokens come before the first place", "accepted is a longer text"
        )
    return ids, start


def _resample(
    host: Host,
    ids: Sequence[int],
    start: int,
    samplings: list[dict[str, Any]],
    *,
    one_by_one: bool,
    progress: Progress | None,
    cancel: Cancel | None,
) -> dict[str, Any]:
    arguments = {"ids": list(ids), "start": start, "samplings": samplings, "one_by_one": one_by_one}
    frame = host.ask("resample", arguments, progress=progress, cancel=cancel)
    return unpack_arrays(frame.header["arrays"], frame.buffers)


def _chains(host: Host, ids: list[int], start: int, samplings: list[dict[str, Any]], arrays: dict[str, Any]) -> Chains:
    a, b = samplings
    differ = [name for name in a if a[name] != b.get(name)]
    first, probs = arrays["first"].tolist(), arrays["probs"].tolist()
    places = tuple(
        Place(start + i, ids[start + i], first_a, first_b, Share(*of_a), Share(*of_b))
        for i, ((first_a, first_b), (of_a, of_b)) in enumerate(zip(first, probs, strict=True))
    )
    named = sorted({*ids[start:], *np.unique(arrays["first"]).tolist()})
    sides = [FrozenJSON({name: side[name] for name in differ}) for side in (a, b)]
    return Chains(sides[0], sides[1], places, tuple(host.pieces(named).items()))


def _comparable(found: Effective, setup: Setup) -> Effective:
    """The same settings with the setup's seed and token limit where the program takes its own seed, or no limit."""
    own, open_ended = setup.effective()["sampling"], {"seed": (-1, 2**32 - 1), "max_tokens": (-1,)}
    if own["seed"] in open_ended["seed"]:
        own["seed"] = SAMPLING_DEFAULTS.seed  # a random one for each would be a difference of its own
    rows = [
        [s.name, own[s.name], "workbench", s.dropped]
        if s.value in open_ended.get(s.name, ()) or (s.name == "seed" and s.source == "preset")
        else list(s)
        for s in found
    ]
    note = "the program's own seed and an endless answer are replaced by the setup's: the settings alone differ"
    return replace(found, settings=FrozenJSON(rows), notes=(*found.notes, note))
