"""Sampling an answer token by token with llama.cpp's samplers; each step is handed on as it comes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.errors import BadRequest, Cancelled
from workbench.runtime.sampler_kinds import Place
from workbench.runtime.samplers import SamplerChain
from workbench.runtime.scoring import Rows, Scorer
from workbench.runtime.session import Report, Session
from workbench.runtime.vocabulary import Vocabulary
from workbench.sampling.asked import check_ids, words
from workbench.sampling.chain import pythons

LEAST = 1e-30  # a repeat penalty or temperature below makes logits infinite
Stopped = dict[str, Any]  # {stop_reason, stop_detail, seed}


def generate(
    session: Session,
    prompt: list[int],
    sampling: dict[str, Any],
    *,
    named: dict[str, str],
    answer: int,
    top_k: int,
    report: Report,
    stream: Callable[[dict[str, Any]], None],
) -> Stopped:
    """Evaluate the prompt (the cached part of it is reused) and sample until something stops it.

    The samplers see the prompt's tokens first, as in llama-server: a repeat penalty counts them. In
    llama-cpp-python's chain they do not: there they see those of `prompt` that are an answer's, from `answer` on.
    """
    session.evaluated = 0
    vocabulary = session.vocabulary
    if vocabulary is None:
        raise RuntimeError("generate needs a loaded model")
    chain = start_chain(session, sampling, named)
    try:
        return _Generation(session, vocabulary, chain, sampling, top_k, report, stream).run(prompt, answer)
    finally:
        chain.close()


def start_chain(session: Session, sampling: dict[str, Any], named: dict[str, str]) -> SamplerChain:
    """The chain of these parameters for the loaded model; `named` is how errors call them.

    Errors: `BadRequest`, `CannotRun`.
    """
    if sampling["repeat_penalty"] < LEAST:
        raise BadRequest(
            f"{words('repeat_penalty', named)} is {sampling['repeat_penalty']:g}",
            f"accepted is at least {LEAST:g}; 1 is off",
        )
    if 0 < sampling["temperature"] < LEAST:
        raise BadRequest(
            f"{words('temperature', named)} is {sampling['temperature']:g}", f"accepted is 0, or at least {LEAST:g}"
        )
    vocabulary = session.vocabulary
    if vocabulary is None:
        raise RuntimeError("sampling needs a loaded model")
    vocab = session.library.llama_model_get_vocab(session.model)
    check_ids(sampling, vocabulary.n_vocab, named)
    banned = [] if pythons(sampling) else vocabulary.suppressed()
    place = Place(session.library, vocab, vocabulary.n_vocab, banned, named)
    return SamplerChain(place, sampling, n_ctx=session.n_ctx)


class _Generation:
    """The loop and what it carries from step to step."""

    def __init__(
        self,
        session: Session,
        vocabulary: Vocabulary,
        chain: SamplerChain,
        sampling: dict[str, Any],
        top_k: int,
        report: Report,
        stream: Callable[[dict[str, Any]], None],
    ) -> None:
        self._session, self._chain, self._sampling = session, chain, sampling
        self._report, self._stream = report, stream
        self._vocabulary = vocabulary
        self._scorer = Scorer(self._vocabulary.n_vocab, max(2, top_k))
        self._row = Rows(1, self._scorer.top_k)
        self._top_k = top_k
        self._shown = b""  # the pieces that a client sees, joined
        self._stops = [text.encode("utf-8", "surrogatepass") for text in sampling["stop"]]

    def run(self, prompt: list[int], answer: int) -> Stopped:
        try:
            self._evaluate(prompt)
            for token in prompt[answer if pythons(self._sampling) else 0 :]:
                self._chain.accept(token, generated=False)
            self._shown = b"".join(self._vocabulary.print_token(token, special=False) for token in prompt[answer:])
            stopped = self._stopped_by_text(prompt[-1]) if self._shown else None
            return (stopped or self._sample()) | {"seed": self._chain.seed()}
        except Cancelled as stop:
            return {"stop_reason": "cancelled", "stop_detail": stop.given, "seed": self._chain.seed()}

    def _evaluate(self, prompt: list[int]) -> None:
        session = self._session
        start = session.keep_prefix(prompt, len(prompt) - 1)
        chunk = int(session.library.llama_n_batch(session.context))
        for at in range(start, len(prompt), chunk):
            session.decode(prompt[at : at + chunk], all_logits=False)
            self._report("reading the prompt", min(at + chunk, len(prompt)), len(prompt))

    def _sample(self) -> Stopped:
        asked = self._sampling["max_tokens"]
        limit = asked if asked >= 0 else self._session.n_ctx  # -1: until the context is full
        for count in range(limit):
            if self._session.stop:
                raise Cancelled("generating was stopped")
            token = self._step()
            self._report("generating", count + 1, limit)
            if self._vocabulary.ends_generation(token):
                name = self._vocabulary.piece(token).data.decode("utf-8", "backslashreplace")
                return {"stop_reason": "end-of-generation", "stop_detail": f"the model wrote {name} (id {token})"}
            if (stopped := self._stopped_by_text(token)) is not None:
                return stopped
            if len(self._session.cached) >= self._session.n_ctx:
                detail = f"the context of {self._session.context_size} is full"
                return {"stop_reason": "context-full", "stop_detail": detail}
            if count + 1 < limit:
                self._session.decode([token], all_logits=False)
        return {"stop_reason": "max-tokens", "stop_detail": f"max_tokens is {limit:,}"}

    def _step(self) -> int:
        logits = self._session.logits(1)
        drawn = self._chain.draw(logits[0])
        self._chain.accept(drawn.id)
        row = self._row
        self._scorer.score(logits, np.array([drawn.id]), row, 0)
        piece = self._vocabulary.piece(drawn.id)
        ends = self._vocabulary.ends_generation(drawn.id)
        shown = b"" if ends else self._vocabulary.print_token(drawn.id, special=False)
        self._stream(
            {
                "id": drawn.id,
                "piece": base64.b64encode(piece.data).decode("ascii"),
                "shown": base64.b64encode(shown).decode("ascii"),
                "type": piece.type,
                "logprob": float(row.logprob[0]),
                "rank": int(row.rank[0]),
                "entropy": float(row.entropy[0]),
                "margin": float(row.margin[0]),
                "top_ids": row.top_ids[0, : self._top_k].tolist(),
                "top_logprobs": row.top_logprobs[0, : self._top_k].tolist(),
                "stages": [stage._asdict() for stage in drawn.stages],
                "watched": drawn.watched,
                "pieces": [
                    base64.b64encode(self._vocabulary.piece(token).data).decode("ascii") for token in drawn.watched
                ],
                "before": drawn.before,
            }
        )
        self._shown += shown
        return drawn.id

    def _stopped_by_text(self, token: int) -> Stopped | None:
        """Why the answer ends with this token, where a stop text came; it may begin in what was given of the answer."""
        stop = self._find_stop(token)
        return None if stop is None else {"stop_reason": "stop-text", "stop_detail": f"the stop text {stop!r} came"}

    def _find_stop(self, token: int) -> str | None:
        longest = max(map(len, self._stops), default=0)
        tail = self._shown[-(longest + len(self._vocabulary.piece(token).data)) :]
        for stop in self._stops:
            if stop in tail:
                return str(stop.decode("utf-8", "surrogatepass"))
        return None
