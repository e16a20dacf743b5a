"""Two setups on the same tokens, stretch by stretch, each in a process of its own: scores and layers compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.aside import scratch
from workbench.compare.layers import Drift
from workbench.compare.places import places
from workbench.compare.scores import ScoresPair, compare_scores
from workbench.errors import BadRequest
from workbench.gguf.header import read_header
from workbench.gguf.sizes import n_layer, whole
from workbench.prompt import prompt_of
from workbench.runtime.host import Host
from workbench.runtime.protocol import unpack_arrays
from workbench.setup import Setup
from workbench.stages import Scores
from workbench.values import FrozenJSON

if TYPE_CHECKING:
    from workbench.compare.floor import NoiseFloor
    from workbench.progress import Cancel, Progress
    from workbench.prompt import Given

SCRATCH_BYTES = 512 << 20  # of the file through which one process shows the other a stretch
FLOAT_BYTES = 4
FLOOR_TOKENS = 64  # on so many the floor is measured: one by one they take as long as generating them
ONE_BY_ONE = {"runtime.n_ubatch": 1}


class Side(NamedTuple):
    """A setup and the process that it runs in; both sides may share one."""

    host: Host
    setup: Setup


class _Pass(NamedTuple):
    """Both setups' rows over the whole prompt, what the second measured against the first, and why no layers."""

    a: Scores
    b: Scores
    arrays: dict[str, np.ndarray[Any, Any]]
    missing: str
    notes: tuple[str, ...]


def score_both(
    given: Given,
    setup_a: Setup | str | Path,
    setup_b: Setup | str | Path,
    *,
    top_k: int = 20,
    floor: NoiseFloor | None = None,
    hosts: tuple[Host, Host] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ScoresPair:
    """Two setups' scores of the same tokens (those of `given` under setup a) with the KL of every position.

    Both models are loaded at once, and stay loaded in `hosts` where these are given. `floor`: what
    `noise_floor()` measured, to be held beside it.
    Errors: `BadRequest` for vocabularies of different sizes, those of `trace()` and of every call of a `Host`.
    """
    with _hosts(setup_a, setup_b, hosts) as (a, b):
        prompt = prompt_of(given, a.setup, host=a.host, progress=progress, cancel=cancel)
        done = run_both(a, b, prompt.ids, top_k=top_k, progress=progress, cancel=cancel)
        pair = compare_scores(done.a, done.b, kl=done.arrays["kl"])
        names = a.host.pieces(sorted({token for flip in pair.flips for token in (flip.a, flip.b)}))
        pieces = prompt.pieces(a.host)
    return replace(
        pair,
        changes=_changes(a.setup, b.setup),
        places=places(prompt.tokens, prompt.rendered) if prompt.tokens is not None else (),
        pieces=pieces,
        names=tuple(names.items()),
        floor=floor,
        notes=done.notes,
    )


def where_it_begins(
    given: Given,
    setup_a: Setup | str | Path,
    setup_b: Setup | str | Path,
    *,
    floor: bool = True,
    tensor: str = "l_out",
    hosts: tuple[Host, Host] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Drift:
    """The layers' outputs of two setups on the same tokens: how far apart after each layer.

    With `floor` setup a is held against itself too, token by token (the first `FLOOR_TOKENS`). `tensor` names
    what is looked at in each layer's graph (`l_out`, its output; `attn_out`, `ffn_out`: parts of it); where that
    is not to be had the value says why (`not_evaluated`).

    Errors: `BadRequest` for models of different shape, and those of `score_both`.
    """
    with _hosts(setup_a, setup_b, hosts) as (a, b):
        _require_one_shape(a.setup, b.setup)
        prompt = prompt_of(given, a.setup, host=a.host, progress=progress, cancel=cancel)
        options: dict[str, Any] = {"tensor": tensor, "progress": progress, "cancel": cancel}
        done = run_both(a, b, prompt.ids, **options)
        itself = None
        if floor and not done.missing:
            again = Side(a.host, a.setup.replace(**ONE_BY_ONE))
            itself = run_both(a, again, prompt.ids[:FLOOR_TOKENS], **options)
        pieces = prompt.pieces(a.host)
    changes = _changes(a.setup, b.setup)
    arrays = dict.fromkeys(("error", "cosine"), np.zeros(0, np.float32)) if done.missing else {}
    own = itself.arrays["error"].mean(axis=1) if itself is not None else np.zeros(0, np.float32)
    return Drift(
        **(done.arrays | arrays),
        floor=own,
        pieces=pieces,
        changes=changes,
        not_evaluated=done.missing,
        notes=done.notes,
    )


def run_both(
    a: Side,
    b: Side,
    ids: list[int],
    *,
    top_k: int = 20,
    tensor: str | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> _Pass:
    """Evaluate `ids` on both sides; arrays `kl` (n,), and with `tensor` `error`, `cosine` (s, n).

    In stretches of the larger of both batches, so that each setup computes in the batches that it names; a batch
    that the scratch file cannot hold is cut, and a note says so.
    """
    step, notes = stretch_size([a.setup, b.setup], tensor)
    arguments: dict[str, Any] = {"ids": ids, "top_k": top_k, "tensor": tensor}
    parts: tuple[list[Any], list[Any]] = ([], [])
    with scratch() as folder:
        for start in range(0, len(ids), step):
            stretch = arguments | {"start": start, "end": min(start + step, len(ids)), "path": f"{folder}/stretch"}
            for i, side in enumerate((a, b)):
                side.host.use(side.setup)
                frame = side.host.ask("stretch", stretch | {"against": i == 1}, progress=progress, cancel=cancel)
                if missing := frame.header["values"]["missing"]:
                    scores_alone = run_both(a, b, ids, top_k=top_k, progress=progress, cancel=cancel)
                    return scores_alone._replace(missing=missing)
                parts[i].append(unpack_arrays(frame.header["arrays"], frame.buffers))
    measured = {name: _joined(parts[1], name) for name in ("kl", "error", "cosine") if name in parts[1][0]}
    return _Pass(joined_scores(parts[0]), joined_scores(parts[1]), measured, "", notes)


def joined_scores(parts: list[dict[str, Any]]) -> Scores:
    """The scores of a text out of those of its stretches."""
    arrays: dict[str, Any] = {name: _joined(parts, name, axis=0) for name in Scores.ARRAYS}
    return Scores(**arrays)


def _joined(parts: list[dict[str, Any]], name: str, *, axis: int = -1) -> np.ndarray[Any, Any]:
    return np.concatenate([part[name] for part in parts], axis=axis)


def stretch_size(setups: Sequence[Setup], tensor: str | None = None) -> tuple[int, tuple[str, ...]]:
    """Tokens in a stretch for setups of one shape, and what to say of it."""
    runtimes = [setup.effective()["runtime"] for setup in setups]
    wanted = max(min(runtime["n_ubatch"], runtime["n_batch"]) for runtime in runtimes)
    header = read_header(str(setups[0].model))
    width = (whole(header.own("embedding_length")) or 0) * (n_layer(header) + 1) if tensor else 0
    held = SCRATCH_BYTES // (FLOAT_BYTES * max(1, header.n_vocab + width))
    step = max(1, min(wanted, held))
    if step == wanted:
        return step, ()
    return step, (f"computed {step:,} tokens at a time: a whole batch of {wanted:,} does not fit the scratch file",)


@contextlib.contextmanager
def _hosts(
    setup_a: Setup | str | Path, setup_b: Setup | str | Path, hosts: tuple[Host, Host] | None
) -> Iterator[tuple[Side, Side]]:
    a, b = _as_setup(setup_a), _as_setup(setup_b)
    for setup in (a, b):
        if setup.model is None:
            raise BadRequest("a setup names no model", "accepted is a GGUF file's path", "set its key model")
    sizes = [read_header(str(setup.model)).n_vocab for setup in (a, b)]
    if sizes[0] != sizes[1]:
        raise BadRequest(
            f"the vocabularies have {sizes[0]:,} and {sizes[1]:,} tokens",
            "accepted are two setups with the same vocabulary",
            "compare files of one model",
        )
    with contextlib.ExitStack() as stack:
        first, second = hosts or (stack.enter_context(Host(a)), stack.enter_context(Host(b)))
        first.use(a)
        yield Side(first, a), Side(second, b)


def _as_setup(setup: Setup | str | Path) -> Setup:
    return setup if isinstance(setup, Setup) else Setup(model=str(setup))


def _require_one_shape(a: Setup, b: Setup) -> None:
    shapes = [(h.n_layer, h.own("embedding_length")) for h in (read_header(str(setup.model)) for setup in (a, b))]
    if shapes[0] != shapes[1]:
        raise BadRequest(
            f"the models have {shapes[0][0]} and {shapes[1][0]} layers of width {shapes[0][1]} and {shapes[1][1]}",
            "accepted are two of the same shape",
            "compare files of one model",
        )


def _changes(a: Setup, b: Setup) -> FrozenJSON:
    return FrozenJSON({name: list(pair) for name, pair in a.diff(b).items()})
