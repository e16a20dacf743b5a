"""What the model's process can be asked for: tokenize, load, score, generate, info."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import Cancelled, CannotRun
from workbench.runtime.devices import Devices, read_devices
from workbench.runtime.dry_run import Weight, computed_mib, own_layout
from workbench.runtime.entries import detokenize, read_ends, read_entries
from workbench.runtime.exchange import Stretch, hold_against, leave
from workbench.runtime.facts import facts
from workbench.runtime.generation import generate
from workbench.runtime.guarded import tokenize_guarded
from workbench.runtime.held import Held
from workbench.runtime.kld import divergence
from workbench.runtime.layers import LensReader
from workbench.runtime.memory import available
from workbench.runtime.placement import Layout, require_fit
from workbench.runtime.protocol import pack_arrays
from workbench.runtime.resample import resample
from workbench.runtime.scoring import Array, Rows, Scorer
from workbench.runtime.session import Report, Session, common_prefix


@dataclass
class Request:
    """One call: where the model is, its effective runtime settings, the operation's own arguments."""

    path: str
    runtime: dict[str, Any]
    overrides: dict[str, Any]
    arguments: dict[str, Any]
    need: dict[str, Any]
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
    text, add_special = request.arguments["text"], request.arguments["add_special"]
    trusted = request.arguments.get("trusted")
    if trusted is None:
        found = vocabulary.tokenize(text, add_special=add_special, parse_special=request.arguments["parse_special"])
    else:
        found = tokenize_guarded(vocabulary, text, trusted, add_special=add_special)
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


def text_of(session: Session, request: Request) -> Answer:
    """Ids back to bytes; weights are not needed."""
    session.open_vocabulary(request.path, request.runtime, request.overrides).require_tokens()
    arguments = request.arguments
    text = detokenize(session.library, session.model, arguments["ids"], specials=arguments["specials"])
    return Answer(arrays={"text": np.frombuffer(text, np.uint8)})


def entries(session: Session, request: Request) -> Answer:
    """The whole vocabulary; weights are not needed."""
    session.open_vocabulary(request.path, request.runtime, request.overrides).require_tokens()
    found = read_entries(session.library, session.model)
    arrays: dict[str, Array] = {"types": found.types, "ends": found.ends}
    for name, parts in (("texts", found.texts), ("pieces", found.pieces)):
        arrays[name] = np.frombuffer(b"".join(parts), np.uint8)
        arrays[f"{name} lengths"] = np.array([len(part) for part in parts], np.int64)
    return Answer(arrays=arrays)


def ends(session: Session, request: Request) -> Answer:
    """The ids that end an answer; weights are not needed."""
    session.open_vocabulary(request.path, request.runtime, request.overrides)
    return Answer({"ids": read_ends(session.library, session.model)})


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
    chunk, done = int(session.library.llama_n_ubatch(session.context)), start
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
            done = at + len(part)
            request.report("scoring", done, len(ids))
            if session.stop:
                raise Cancelled(f"scoring was stopped behind token {done:,}")
    finally:
        session.scored, session.rows = ids[:done], rows
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


def _open(session: Session, request: Request, *, tapped: bool = False) -> None:
    wanted = Layout(**request.need)
    session.open_weights(request.path, request.runtime, request.overrides, wanted, request.report, tapped=tapped)
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
        named=request.arguments["named"],
        answer=request.arguments["answer"],
        top_k=request.arguments["top_k"],
        report=request.report,
        stream=request.stream,
    )
    return Answer({"evaluated": session.evaluated} | stopped)


def resample_text(session: Session, request: Request) -> Answer:
    """What sampler chains would choose at each place of a text that is given."""
    given = request.arguments
    _open(session, request)
    _check_prompt(session, given["ids"], room=-1)  # the last token is looked at, and not evaluated
    session.evaluated = 0
    arrays = resample(
        session,
        given["ids"],
        given["start"],
        given["samplings"],
        one_by_one=given["one_by_one"],
        report=request.report,
    )
    return Answer({"evaluated": session.evaluated}, arrays)


def lens(session: Session, request: Request) -> Answer:
    """What the model's own head gives for each layer's output at some positions."""
    given = request.arguments
    _open(session, request, tapped=True)
    _check_prompt(session, given["ids"])
    n_vocab = session.vocabulary.n_vocab if session.vocabulary else 0
    scorer = Scorer(n_vocab, given["top_k"], n_threads=request.runtime["n_threads"])
    found = LensReader(session, given["ids"], given["positions"], given["tensor"], request.report).read(scorer)
    return Answer({"missing": found.missing, "off_nats": found.off_nats}, found.rows.arrays())


def stretch(session: Session, request: Request) -> Answer:
    """A stretch of a prompt for the comparison of two setups: left in a file, or held against what lies there."""
    given = dict(request.arguments)
    top_k, work = given.pop("top_k"), hold_against if given.pop("against") else leave
    part = Stretch(**(given | {"path": Path(given["path"])}))
    _open(session, request, tapped=part.tensor is not None)
    _check_prompt(session, part.ids)
    session.evaluated = 0
    found = work(session, part, top_k=top_k, n_threads=request.runtime["n_threads"], report=request.report)
    return Answer({"missing": found.missing, "evaluated": session.evaluated}, found.rows.arrays() | found.arrays)


def dry_run(session: Session, request: Request) -> Answer:
    """What llama.cpp would take with these settings, loading nothing; see `workbench.runtime.memory_estimate`."""
    weights = [Weight(kind, tuple(shape)) for kind, shape in request.arguments["weights"]]
    session.find_devices(request.runtime)
    opened = session.opened()
    held = Held(request.arguments["held_mib"] | (opened["held_mib"] if opened is not None else {}))
    devices = {device.name: device for device in held.freed(read_devices(session.ggml).devices)}
    chosen = [devices[device.name] for device in session.devices]
    here, wanted, refused = available(), Layout(**request.need), ""
    here = here + held.here(list(devices.values())) if here is not None else None
    try:
        require_fit(request.path, wanted, request.runtime, chosen, here, loaded=False)
    except CannotRun as error:
        refused = str(error)
    mib = None if refused else computed_mib(session, request.path, request.runtime, request.overrides)
    return Answer(
        {
            "devices": Devices(tuple(devices.values())).to_dict(),
            "taking_part": [device.name for device in session.devices],
            "own_layout": own_layout(session.ggml, weights),
            "computed_mib": mib,
            "notes": session.notes,
            "refused": refused,
        }
    )


OPERATIONS: dict[str, Callable[[Session, Request], Answer]] = {
    "tokenize": tokenize,
    "pieces": pieces,
    "text_of": text_of,
    "entries": entries,
    "ends": ends,
    "load": load,
    "info": info,
    "score": score,
    "generate": generate_answer,
    "resample": resample_text,
    "lens": lens,
    "stretch": stretch,
    "dry_run": dry_run,
    "divergence": divergence,
}
