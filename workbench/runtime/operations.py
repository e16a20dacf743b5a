"""What the model's process can be asked for: tokenize, load, score, generate, info."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.errors import Cancelled, CannotRun
from workbench.runtime.facts import facts
from workbench.runtime.generation import generate
from workbench.runtime.memory import Need
from workbench.runtime.protocol import pack_arrays
from workbench.runtime.scoring import Array, Rows, Scorer
from workbench.runtime.session import Report, Session, common_prefix


@dataclass
class Request:
    """One call: where the model is, its effective runtime settings, the operation's own arguments."""

    path: str
    runtime: dict[str, Any]
    overrides: dict[str, Any]
    arguments: dict[str, Any]
    need: dict[str, int]
    report: Report
    stream: Callable[[dict[str, Any]], None]


@dataclass
class Answer:
    """`values` are plain JSON, `arrays` go as binary buffers."""

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def packed(self) -> tuple[dict[str, Any], list[bytes]]:
        """Header and buffers of the frame."""
        table, buffers = pack_arrays(self.arrays)
        return {"values": self.values, "arrays": table}, buffers


def tokenize(session: Session, request: Request) -> Answer:
    """Ids, pieces, types and spans; weights are not needed."""
    vocabulary = session.open_vocabulary(request.path, request.runtime, request.overrides)
    found = vocabulary.tokenize(
        request.arguments["text"],
        add_special=request.arguments["add_special"],
        parse_special=request.arguments["parse_special"],
    )
    lengths = np.array([len(piece) for piece in found.pieces], np.int64)
    arrays: dict[str, Array] = {
        "ids": found.ids,
        "lengths": lengths,
        "pieces": np.frombuffer(b"".join(found.pieces), np.uint8),
        "spans": found.spans,
        "byte_spans": found.byte_spans,
    }
    values = {"types": found.types, "added": found.added, "notes": found.notes, "n_vocab": vocabulary.n_vocab}
    return Answer(values, arrays)


def pieces(session: Session, request: Request) -> Answer:
    """What each id stands for; weights are not needed."""
    vocabulary = session.open_vocabulary(request.path, request.runtime, request.overrides)
    found = [vocabulary.piece(token).data for token in request.arguments["ids"]]
    lengths = np.array([len(piece) for piece in found], np.int64)
    return Answer(arrays={"lengths": lengths, "pieces": np.frombuffer(b"".join(found), np.uint8)})


def load(session: Session, request: Request) -> Answer:
    """Weights and context."""
    _open(session, request)
    return Answer(facts(session))


def info(session: Session, _request: Request) -> Answer:
    """What is loaded, without loading more."""
    return Answer(facts(session))


def score(session: Session, request: Request) -> Answer:
    """Every prompt position; only what is behind the first changed token is evaluated."""
    ids, top_k = request.arguments["ids"], request.arguments["top_k"]
    wanted = sorted(set(request.arguments["logits_at"]))
    _open(session, request)
    _check_prompt(session, ids)
    n_vocab = session.vocabulary.n_vocab if session.vocabulary else 0
    scorer = Scorer(n_vocab, top_k, n_threads=request.runtime["n_threads"])
    rows = Rows(len(ids), scorer.top_k)
    known = _known_rows(session, ids, scorer.top_k)
    start = session.keep_prefix(ids, min([known, *wanted, len(ids)]))
    if session.rows is not None and start:
        rows.take(session.rows, start)
    kept_rows: dict[int, Array] = {}
    session.evaluated = 0
    chunk = int(session.library.llama_n_ubatch(session.context))
    try:
        for at in range(start, len(ids), chunk):
            part = ids[at : at + chunk]
            session.decode(part, all_logits=True)
            logits = session.logits(len(part))
            targets = np.full(len(part), -1, np.int64)
            following = ids[at + 1 : at + 1 + len(part)]
            targets[: len(following)] = following
            kept_rows |= {i: logits[i - at].copy() for i in wanted if at <= i < at + len(part)}
            scorer.score(logits, targets, rows, at)
            request.report("scoring", at + len(part), len(ids))
            if session.stop:
                raise Cancelled(f"scoring was stopped behind token {at + len(part):,}")
    finally:
        session.scored, session.rows = list(session.cached[: len(ids)]), rows
    rows.logprob[-1:], rows.rank[-1:] = np.nan, 0
    arrays = rows.arrays() | {f"logits {i}": row for i, row in kept_rows.items()}
    return Answer({"evaluated": session.evaluated}, arrays)


def _known_rows(session: Session, ids: list[int], top_k: int) -> int:
    """How many leading rows of the last scoring hold for `ids`: those whose token and target are unchanged.

    The last common token's row needs its distribution again, for its target is another one; at the
    end of a shorter prompt there is no target.
    """
    if session.rows is None or session.rows.top_ids.shape[1] < top_k:
        return 0
    same = common_prefix(session.scored, ids)
    return same if same == len(ids) else max(0, same - 1)


def _open(session: Session, request: Request) -> None:
    wanted = Need(**request.need)
    session.open_weights(request.path, request.runtime, request.overrides, wanted, request.report)
    library, model = session.library, session.model
    if library.llama_model_has_encoder(model):
        raise CannotRun(
            f"{request.path} is an encoder-decoder or encoder model",
            "scoring and generating run decoder-only models",
            "rendering and tokenising work",
        )


def _check_prompt(session: Session, ids: list[int], room: int = 0) -> None:
    n_vocab = session.vocabulary.n_vocab if session.vocabulary else 0
    if not ids:
        raise CannotRun("the prompt has no tokens", "accepted is at least one")
    if min(ids) < 0 or max(ids) >= n_vocab:
        raise CannotRun("the prompt has ids that are not in this vocabulary", f"accepted are 0 to {n_vocab - 1}")
    over = len(ids) + room - session.n_ctx
    if over > 0:
        raise CannotRun(
            f"the prompt has {len(ids):,} tokens, {over:,} more than the context of {session.context_size}",
            "rendering and tokenising still work",
            f"set runtime.n_ctx to at least {len(ids) + room:,}",
        )


def generate_answer(session: Session, request: Request) -> Answer:
    """Sample until something stops it; every step is streamed as it comes."""
    ids = request.arguments["ids"]
    _open(session, request)
    _check_prompt(session, ids)
    stopped = generate(
        session,
        ids,
        request.arguments["sampling"],
        top_k=request.arguments["top_k"],
        report=request.report,
        stream=request.stream,
    )
    return Answer({"evaluated": session.evaluated} | stopped)


OPERATIONS: dict[str, Callable[[Session, Request], Answer]] = {
    "tokenize": tokenize,
    "pieces": pieces,
    "load": load,
    "info": info,
    "score": score,
    "generate": generate_answer,
}
