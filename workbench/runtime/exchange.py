"""Two setups on the same tokens, stretch by stretch: one process leaves what it computed, the other reads it.

The stretch lies in a scratch file, so nobody ever holds positions x vocabulary for the whole text; the
second process answers with reduced rows only. Shapes: r rows of the stretch, v ids, L layers, d values.
The file: logits (r, v), then, where they are asked for, layer outputs (L + 1, r, d); float32.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from workbench.errors import Cancelled, CannotRun
from workbench.runtime.layers import OnStage
from workbench.runtime.scoring import Array, Rows, Scorer

if TYPE_CHECKING:
    from workbench.runtime.session import Report, Session

FLOAT_BYTES = 4
BLOCK_VALUES = 1 << 19  # logits worked on at once


class Stretch(NamedTuple):
    """Rows [start, end) of `ids`, the scratch file, and which tensor of each layer is looked at (None: none)."""

    ids: list[int]
    start: int
    end: int
    path: Path
    tensor: str | None = None


class Found(NamedTuple):
    """What a stretch gave: its rows, further arrays by name, and why the layers were not seen ("": they were)."""

    rows: Rows
    arrays: dict[str, Array]
    missing: str = ""


def leave(session: Session, stretch: Stretch, *, top_k: int, n_threads: int, report: Report) -> Found:
    """Evaluate the stretch and write logits and layer outputs to its file. Errors: `CannotRun`, `Cancelled`."""
    n, n_vocab, n_embd = stretch.end - stretch.start, _n_vocab(session), _n_embd(session)
    layers_at = n * n_vocab * FLOAT_BYTES
    try:
        with stretch.path.open("wb") as file:

            def on_stage(stage: int, values: Array, at: int) -> None:
                _write(file, values, layers_at + (stage * n + at) * n_embd * FLOAT_BYTES)

            def on_logits(logits: Array, at: int) -> None:
                _write(file, logits, at * n_vocab * FLOAT_BYTES)

            return _evaluate(session, stretch, top_k, n_threads, on_stage, on_logits, report)
    except OSError as error:
        full = " (the disk is full)" if error.errno == errno.ENOSPC else ""
        raise CannotRun(
            f"{stretch.path} cannot be written: {error.strerror}{full}", "", "free some space in the temporary folder"
        ) from error


def hold_against(session: Session, stretch: Stretch, *, top_k: int, n_threads: int, report: Report) -> Found:
    """Evaluate the stretch and hold it against what `leave` wrote: `kl` (r,) nats, from the other's distribution.

    With layers also `error` and `cosine` (L + 1, r): ||a - b|| / ||a|| and the cosine of each pair of outputs, NaN
    where a stage was not seen. Errors: `CannotRun` where the shapes differ, `Cancelled`.
    """
    n, n_vocab, n_embd = stretch.end - stretch.start, _n_vocab(session), _n_embd(session)
    n_stages = int(session.library.llama_model_n_layer(session.model)) + 1 if stretch.tensor else 0
    _require_size(stretch.path, (n * n_vocab + n_stages * n * n_embd) * FLOAT_BYTES)
    data = np.memmap(stretch.path, np.float32, mode="r")
    theirs = data[: n * n_vocab].reshape(n, n_vocab)
    outputs = data[n * n_vocab :].reshape(n_stages, n, n_embd)
    kl = np.zeros(n, np.float64)
    error, cosine = (np.full((n_stages, n), np.nan, np.float32) for _ in range(2))

    def on_stage(stage: int, values: Array, at: int) -> None:
        to = slice(at, at + len(values))
        error[stage, to], cosine[stage, to] = drift(outputs[stage, to], values)

    def on_logits(logits: Array, at: int) -> None:
        kl[at : at + len(logits)] = kl_rows(theirs[at : at + len(logits)], logits)

    found = _evaluate(session, stretch, top_k, n_threads, on_stage, on_logits, report)
    layers = {"error": error, "cosine": cosine} if stretch.tensor else {}
    return found._replace(arrays={"kl": kl, **layers})


def kl_rows(a: Array, b: Array) -> Array:
    """KL(a || b) in nats, (r,) float64, of two blocks of logits (r, v); an id that a excludes counts nothing.

    In double precision: the floor of two equal setups is near 1e-6 nats, where single precision ends.
    """
    block = max(1, BLOCK_VALUES // a.shape[1])
    parts = [_kl_block(a[i : i + block], b[i : i + block]) for i in range(0, len(a), block)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _kl_block(a: Array, b: Array) -> Array:
    x, y = a.astype(np.float64), b.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    y -= y.max(axis=1, keepdims=True)
    p, q = np.exp(x), np.exp(y)
    total_p, total_q = p.sum(axis=1), q.sum(axis=1)
    with np.errstate(invalid="ignore"):
        gap = np.subtract(x, y, out=x)
    if not np.isfinite(gap).all():
        gap[p == 0] = 0.0
    mean_gap = np.einsum("ij,ij->i", p, gap) / total_p
    kl: Array = np.maximum(mean_gap - np.log(total_p) + np.log(total_q), 0.0)
    return kl


def drift(a: Array, b: Array) -> tuple[Array, Array]:
    """||a - b|| / ||a|| and the cosine between the rows of `a` and `b` (r, d): each (r,)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    length_a, length_b = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(x - y, axis=1) / length_a
        cosine = np.einsum("ij,ij->i", x, y) / (length_a * length_b)
    return error, np.clip(cosine, -1.0, 1.0)


def _evaluate(
    session: Session,
    stretch: Stretch,
    top_k: int,
    n_threads: int,
    on_stage: Callable[[int, Array, int], None],
    on_logits: Callable[[Array, int], None],
    report: Report,
) -> Found:
    """Evaluate rows [start, end) in the context's own batches; `at` counts from the stretch's start."""
    ids, start, end = stretch.ids, stretch.start, stretch.end
    scorer = Scorer(_n_vocab(session), top_k, n_threads=n_threads)
    rows, missing, chunk = Rows(end - start, scorer.top_k), "", session.n_ubatch
    for at in range(session.keep_prefix(ids, start), start, chunk):  # nothing, but for a cache that was lost
        session.decode(ids[at : min(at + chunk, start)], all_logits=False)
    for at in range(start, end, chunk):
        part = ids[at : min(at + chunk, end)]
        if stretch.tensor is None:
            session.decode(part, all_logits=True)
        else:
            tap = session.require_tap()
            tap.evaluate(session, part, _at(on_stage, at - start), tensor=stretch.tensor)
            missing = tap.missing(stretch.tensor)
        logits = session.logits(len(part))
        targets = np.array([*ids[at + 1 : at + 1 + len(part)], -1][: len(part)], np.int64)
        scorer.score(logits, targets, rows, at - start)
        on_logits(logits, at - start)
        report("comparing", at + len(part), len(ids))
        if session.stop:
            raise Cancelled(f"comparing was stopped behind token {at + len(part):,}")
    return Found(rows, {}, missing)


def _at(on_stage: Callable[[int, Array, int], None], at: int) -> OnStage:
    def seen(stage: int, values: Array) -> bool:
        on_stage(stage, values, at)
        return False

    return seen


def _write(file: BinaryIO, values: Array, offset: int) -> None:
    file.seek(offset)
    file.write(np.ascontiguousarray(values, np.float32).data)


def _require_size(path: Path, expected: int) -> None:
    size = path.stat().st_size
    if size != expected:
        raise CannotRun(
            f"the two models' outputs for this text have {size:,} and {expected:,} bytes",
            "accepted are two models of one shape: the same vocabulary, and for layers the same layers and width",
            "compare files of one model",
        )


def _n_vocab(session: Session) -> int:
    return session.vocabulary.n_vocab if session.vocabulary else 0


def _n_embd(session: Session) -> int:
    return int(session.library.llama_model_n_embd(session.model))
