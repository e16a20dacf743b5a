"""Runs a request through a reference and its variants in lockstep; one that cannot run costs the others nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.aside import scratch
from workbench.compare.places import Place, places
from workbench.compare.scores import AFTER
from workbench.compare.text_kinds import text_kinds
from workbench.conversation import Conversation
from workbench.errors import BadRequest, Cancelled
from workbench.floor import noise_floor
from workbench.gguf.grid import weight_grids
from workbench.gguf.header import read_header
from workbench.lockstep import stretch_size
from workbench.prompt import Prompt, is_ids, prompt_of
from workbench.runtime.host import Host
from workbench.runtime.protocol import unpack_arrays
from workbench.setup import Setup
from workbench.stages import TOKEN_TYPES, Generation, Tokens
from workbench.trace import Trace
from workbench.variants.result import Variants
from workbench.variants.side import Others, Side, named

if TYPE_CHECKING:
    from workbench.compare.floor import NoiseFloor
    from workbench.progress import Cancel, Progress
    from workbench.prompt import Given


def compare_variants(
    given: Given,
    reference: Setup | str | Path,
    others: Others,
    *,
    answers: bool = True,
    top_k: int = 10,
    floor: NoiseFloor | bool = True,
    hosts: Sequence[Host] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Variants:
    """What each of `others` (setups or model paths, with names or without) makes of every token of `given`.

    The tokens are those of `given` under `reference` and, with `answers`, of the answer that the reference writes;
    each variant writes its own answer too. All answers are greedy, so that what differs is the model. Every setup
    has a process of its own (`hosts`, the reference's first, where they are given and stay loaded), and they
    go through the text side by side, a stretch at a time. `floor`: True measures the reference's `noise_floor`.

    Errors: `BadRequest`, those of `trace()` and of a `Host` for the reference, `Cancelled`. What stops a variant
    (a file that cannot be read, a setting that is refused, a process that dies) is its `error`.
    """
    setups = named(reference, others)
    if hosts is not None and len(hosts) != len(setups):
        raise BadRequest(f"{len(hosts)} hosts were given for {len(setups)} setups", "accepted is one for each")
    with contextlib.ExitStack() as stack:
        own = hosts or [stack.enter_context(Host(setup)) for _, setup in setups]
        sides = [Side(name, setup, host) for (name, setup), host in zip(setups, own, strict=True)]
        return _Run(sides, top_k, progress, cancel).run(given, answers=answers, floor=floor)


class _Run:
    """One comparison; `sides` are the reference and the variants."""

    def __init__(self, sides: list[Side], top_k: int, progress: Progress | None, cancel: Cancel | None) -> None:
        self.reference, *self.others = sides
        self.top_k = top_k
        self.options: dict[str, Any] = {"progress": progress, "cancel": cancel}

    @property
    def running(self) -> list[Side]:
        """The variants that nothing has stopped."""
        return [side for side in self.others if side.error is None]

    def run(self, given: Given, *, answers: bool, floor: NoiseFloor | bool) -> Variants:
        with self.reference.timed("tokens") as host:
            prompt = prompt_of(given, self.reference.setup, host=host, **self.options)
            tokens = prompt.tokens if prompt.tokens is not None else _tokens_of(prompt, host)
        self._require_one_vocabulary()
        if answers:
            sampling = _greedy(given, self.reference.setup)
            self._answer(self.reference, prompt.ids, sampling)
        tokens = _with_answer(tokens, self.reference.answer)
        notes = self._score(tokens.ids.tolist())
        for side in self.running if answers else ():
            with side.keeping_errors():
                self._answer(side, prompt.ids, sampling)
        return self._result(prompt, tokens, notes, self._floor(floor))

    def _require_one_vocabulary(self) -> None:
        mine = read_header(str(self.reference.setup.model)).n_vocab
        for side in self.running:
            with side.keeping_errors():
                theirs = read_header(str(side.setup.model)).n_vocab
                if theirs != mine:
                    raise BadRequest(
                        f"its vocabulary has {theirs:,} tokens and the reference's {mine:,}",
                        "accepted are files of one model",
                    )

    def _answer(self, side: Side, ids: list[int], sampling: dict[str, Any]) -> None:
        with side.timed("answer") as host:
            # Every side reads the whole prompt: with a part of it in the cache, equal sides' near ties fall otherwise.
            host.score([0], top_k=1, cancel=self.options["cancel"])
            answer = host.generate(ids, sampling, top_k=1, **self.options)
        if answer.stop_reason == "cancelled":
            raise Cancelled(answer.stop_detail)
        side.answer = answer

    def _score(self, ids: list[int]) -> tuple[str, ...]:
        """All sides over the ids, stretch by stretch; what to say of it."""
        step, notes = stretch_size([side.setup for side in (self.reference, *self.running)])
        shared: dict[str, Any] = {"ids": ids, "top_k": self.top_k, "tensor": None}
        with scratch() as folder:
            for start in range(0, len(ids), step):
                stretch = shared | {"start": start, "end": min(start + step, len(ids)), "path": f"{folder}/stretch"}
                self._stretch(self.reference, stretch | {"against": False})
                for side in self.running:
                    with side.keeping_errors():
                        self._stretch(side, stretch | {"against": True})
        return notes

    def _stretch(self, side: Side, order: dict[str, Any]) -> None:
        with side.timed("scores") as host:
            frame = host.ask("stretch", order, **self.options)
        side.parts.append(unpack_arrays(frame.header["arrays"], frame.buffers))

    def _floor(self, wanted: NoiseFloor | bool) -> NoiseFloor | None:
        if not isinstance(wanted, bool):
            return wanted
        return noise_floor(self.reference.setup, **self.options) if wanted else None

    def _result(self, prompt: Prompt, tokens: Tokens, notes: tuple[str, ...], floor: NoiseFloor | None) -> Variants:
        scores, where = self.reference.scores, _places(prompt, tokens)
        seen = [scores.top_ids, *(side.scores.top_ids for side in self.running)]
        names = self.reference.host.pieces(np.unique(np.concatenate([top.ravel() for top in seen])))
        own: dict[str, Any] = {"places": where, "names": tuple(names.items()), "floor": floor}
        pairs = [side.pair(self.reference, a=scores, pieces=tokens.pieces, **own) for side in self.others]
        return Variants(
            reference=self.reference.variant(None),
            others=tuple(side.variant(pair) for side, pair in zip(self.others, pairs, strict=True)),
            tokens=tokens,
            scores=scores,
            n_prompt=len(prompt.ids),
            kinds=text_kinds(tokens, prompt.rendered, n_prompt=len(prompt.ids)),
            notes=(*dict.fromkeys(self._own_notes()), *notes, *self._reference_notes()),
            **own,
        )

    def _own_notes(self) -> list[str]:
        """What the hosts did otherwise than the setups say, each with its side."""
        return [f"{side.name}: {note}" for side in (self.reference, *self.running) for note in side.host.notes]

    def _reference_notes(self) -> list[str]:
        """What it is worth to hold other weights against the reference's, where its own are no original."""
        model = self.reference.setup.model
        if all(side.setup.model == model for side in self.others):
            return []
        said = weight_grids(str(model), **self.options).as_reference
        return [said] if said else []


def _greedy(given: Given, setup: Setup) -> dict[str, Any]:
    """The sampling of the request under `setup`, for tokens the setup's own, at temperature 0."""
    if isinstance(given, Tokens) or is_ids(given):
        sampling = setup.effective()["sampling"] | {"stop": []}
    else:
        conversation = given.conversation if isinstance(given, Trace) else Conversation.of(given)
        sampling = setup.sampling_for(conversation)
    return sampling | {"temperature": 0.0}


def _tokens_of(prompt: Prompt, host: Host) -> Tokens:
    """Ids alone as tokens: pieces and types from the vocabulary, no place in any text."""
    entries = host.entries()
    nowhere = np.full((len(prompt.ids), 2), -1)
    types = tuple(TOKEN_TYPES[entries.types[i]] for i in prompt.ids)
    pieces = tuple(entries.pieces[i] for i in prompt.ids)
    return Tokens(np.array(prompt.ids), pieces, types, nowhere, nowhere, n_vocab=len(entries.pieces))


def _with_answer(tokens: Tokens, answer: Generation | None) -> Tokens:
    """The answer's tokens behind the prompt's; they have no place in the prompt's text."""
    steps = answer.steps if answer is not None else ()
    nowhere = np.full((len(steps), 2), -1)
    return replace(
        tokens,
        ids=np.concatenate([tokens.ids, np.array([step.id for step in steps], np.int32)]),
        pieces=(*tokens.pieces, *(step.piece for step in steps)),
        types=(*tokens.types, *(step.type for step in steps)),
        spans=np.concatenate([tokens.spans, nowhere]),
        byte_spans=np.concatenate([tokens.byte_spans, nowhere]),
    )


def _places(prompt: Prompt, tokens: Tokens) -> tuple[Place, ...]:
    """Whose each token is; the answer's are `AFTER` the prompt."""
    own = (Place("unknown", ""),) * len(prompt.ids)
    own = places(prompt.tokens, prompt.rendered) if prompt.tokens is not None else own
    return (*own, *[AFTER] * (len(tokens) - len(own)))
