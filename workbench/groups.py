"""Which tensors of a low-precision file do the damage: one group put back to high precision at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.compare.layers import GroupEffect, TensorGroups
from workbench.compare.scores import ScoresPair, compare_scores
from workbench.errors import BadRequest
from workbench.gguf.header import Header, Tensor, read_header
from workbench.gguf.mixed import mixed_file, require_same_model
from workbench.lockstep import Side, run_both
from workbench.prompt import prompt_of
from workbench.runtime.host import Host
from workbench.setup import Setup

if TYPE_CHECKING:
    from workbench.progress import Cancel, Progress
    from workbench.prompt import Given

BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
Grouping = Literal["kind", "layer"]


def which_tensors(
    given: Given,
    high: Setup | str | Path,
    low: Setup | str | Path,
    *,
    by: Grouping | Mapping[str, str] = "kind",
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> TensorGroups:
    """The KL of `low` from `high`, and how much of it goes away as each group of tensors is put back.

    `by`: "kind" (`attn_q`, `ffn_down`, ... over all layers), "layer", or group name -> regular expression that
    finds a tensor's name. Each group is one more file (written, measured, removed) and one more pass of both
    models. Shares need not add up to 1: what two groups do together is not the sum of what each does.

    Errors: `BadRequest` where the two files are not one model, `CannotRun` for a full disk, those of `score_both`.
    """
    high, low = (setup if isinstance(setup, Setup) else Setup(model=str(setup)) for setup in (high, low))
    headers = read_header(str(high.model)), read_header(str(low.model))
    require_same_model(headers[1], headers[0])
    groups = _groups(headers[1], by)
    effects, same = [], []
    with Host(high) as host:
        reference = Side(host, high)
        ids = prompt_of(given, high, host=host, progress=progress, cancel=cancel).ids
        whole = _held_against(reference, low, ids, progress, cancel)
        for name, tensors in groups.items():
            changed = _changed(tensors, headers[0])
            if not changed:
                same.append(name)
                continue
            names = {tensor.name for tensor, _ in changed}
            with mixed_file(headers[1], headers[0], names, progress=progress, cancel=cancel) as path:
                pair = _held_against(reference, low.replace(model=str(path)), ids, progress, cancel)
            effects.append(_effect(name, changed, pair, whole))
    ranked = tuple(sorted(effects, key=lambda effect: effect.mean_kl))
    row, names_of = whole.as_floor_row(""), (Path(headers[0].path).name, Path(headers[1].path).name)
    return TensorGroups(*names_of, row.n, row.mean_kl, row.max_kl, row.same_top, ranked, tuple(same))


def _held_against(
    reference: Side, setup: Setup, ids: list[int], progress: Progress | None, cancel: Cancel | None
) -> ScoresPair:
    with Host(setup) as host:
        done = run_both(reference, Side(host, setup), ids, progress=progress, cancel=cancel)
    return compare_scores(done.a, done.b, kl=done.arrays["kl"])


def _groups(header: Header, by: Grouping | Mapping[str, str]) -> dict[str, list[Tensor]]:
    """The tensors of each group, in the file's order; a tensor belongs to the first group that finds it."""
    found: dict[str, list[Tensor]] = {}
    for tensor in header.tensors:
        name = _named(tensor.name, by)
        if name is not None:
            found.setdefault(name, []).append(tensor)
    if not found:
        raise BadRequest(f"no tensor belongs to a group of {by}", "accepted are expressions that find tensors' names")
    return found


def _named(tensor: str, by: Grouping | Mapping[str, str]) -> str | None:
    if isinstance(by, Mapping):
        return next((name for name, expression in by.items() if _finds(expression, tensor)), None)
    block = BLOCK.match(tensor)
    if by == "layer":
        return f"layer {block[1]}" if block else _stem(tensor)
    if by == "kind":
        return _stem(block[2]) if block else _stem(tensor)
    raise BadRequest(f"by is {by!r}", 'accepted are "kind", "layer" or a table of group names and expressions')


def _finds(expression: str, tensor: str) -> bool:
    try:
        return re.search(expression, tensor) is not None
    except re.error as error:
        raise BadRequest(
            f"{expression!r} is no regular expression: {error}", "accepted is one that finds names"
        ) from error


def _stem(name: str) -> str:
    return name.removesuffix(".weight").removesuffix(".bias")


def _changed(tensors: list[Tensor], high: Header) -> list[tuple[Tensor, Tensor]]:
    """Low and high tensor where their types differ: the quantiser leaves the others as they are."""
    theirs = {tensor.name: tensor for tensor in high.tensors}
    return [(tensor, theirs[tensor.name]) for tensor in tensors if tensor.type != theirs[tensor.name].type]


def _effect(name: str, changed: list[tuple[Tensor, Tensor]], pair: ScoresPair, whole: ScoresPair) -> GroupEffect:
    row = pair.as_floor_row(name)
    low, high = (" + ".join(dict.fromkeys(pairs[i].type for pairs in changed)) for i in range(2))
    extra = sum(theirs.nbytes - mine.nbytes for mine, theirs in changed)
    restored = 1 - row.mean_kl / whole.mean_kl if whole.mean_kl > 0 else 0.0
    return GroupEffect(name, len(changed), (low, high), extra, row.mean_kl, row.max_kl, row.same_top, restored)
