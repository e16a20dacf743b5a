"""A sample of weights held against a quantisation grid.

A quantised block of weights is a lattice, origin + q x step with few whole q. Stored again as F16, BF16 or F32
every value is off it by the rounding at most, which is known; honest weights stand anywhere. So: does a step
exist for which every value stands on the lattice within its own rounding, and how unlikely is that by chance?
Shapes: n superblocks of 256 weights, b blocks of g weights.

The grids are those of ggml's types:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-common.h#L170
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SUPERBLOCK = 256  # weights that K-quants store together
LEAST_BITS = 8.0  # a block tells something where chance would fit it to the grid once in 2^8
LEAST_BLOCKS = 8
SCALES = 63  # the greatest scale of a sub-block in Q4_K and Q5_K


class Grid(NamedTuple):
    """A lattice: `group` weights share a step; with `offset` an origin too; `steps` are the most from end to end.

    Without an offset the steps count from zero to the greatest weight, and only `reached` of them are tried.
    """

    name: str
    group: int
    offset: bool
    steps: int
    reached: tuple[int, ...] = ()
    shared: str = ""  # the K-quant with such blocks, in which eight steps are whole multiples of one
    levels: tuple[int, ...] = ()  # where not every whole number of steps is a level: those that are, without a sign


CODEBOOK = (1, 10, 13, 22, 25, 35, 38, 49, 53, 65, 69, 83, 89, 104, 113, 127)  # kvalues_iq4nl
# The coarser ones first: what fits one of them fits some of the finer ones too.
GRIDS: tuple[Grid, ...] = (
    Grid("Q2_K", 16, True, 3),
    Grid("Q3_K", 16, False, 4),
    Grid("Q4_0", 32, False, 8),
    Grid("Q4_1", 32, True, 15, shared="Q4_K"),
    Grid("Q5_0", 32, False, 16),
    Grid("Q5_1", 32, True, 31, shared="Q5_K"),
    Grid("Q6_K", 16, False, 32),
    Grid("IQ4_NL", 32, False, 127, reached=(127, 113, 104, 89), levels=CODEBOOK),
    Grid("Q8_0", 32, False, 127, reached=(127, 128)),
)


@np.errstate(all="ignore")  # a damaged file may hold infinities and NaN: they are on no grid
def values_and_errors(raw: npt.NDArray[Any], stored: str) -> tuple[Floats, Floats]:
    """Stored weights as float64, and the most that rounding to the stored type can have moved each."""
    if stored == "BF16":
        values = (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        error = np.exp2(np.floor(np.log2(np.maximum(np.abs(values), 2.0**-126))) - 8)
    else:
        values = raw.astype(np.float64)
        error = np.abs(np.spacing(raw).astype(np.float64)) / 2
    arithmetic = 2.0**-22 * np.abs(values).max(axis=-1, keepdims=True)  # origin + q x step is computed in float32
    return values, error + arithmetic


class Fit(NamedTuple):
    """How a sample stands to a grid: share (0 to 1) of the `blocks` that tell anything, and each block's step."""

    fit: float
    blocks: int
    steps: Floats  # (b,), NaN for a block that is not on the grid


@np.errstate(all="ignore")
def on_grid(grid: Grid, values: Floats, error: Floats) -> Fit:
    """Hold a sample (n, 256) with its rounding errors against a grid; the share is 0 where too few blocks tell."""
    x, e = values.reshape(-1, grid.group), error.reshape(-1, grid.group)  # (b, g)
    order = np.argsort(x, axis=1)
    x, e = np.take_along_axis(x, order, axis=1), np.take_along_axis(e, order, axis=1)
    tells = np.concatenate([np.zeros((len(x), 1), bool), np.diff(x, axis=1) > 0], axis=1) & (x != 0)
    top = np.where(grid.offset | (np.abs(x[:, -1]) >= np.abs(x[:, 0])), x.shape[1] - 1, 0)[:, None]  # (b, 1)
    np.put_along_axis(tells, top, False, axis=1)  # the ends define the lattice, so they tell nothing
    origin, e_origin = (x[:, :1], e[:, :1]) if grid.offset else (np.zeros_like(x[:, :1]), np.zeros_like(x[:, :1]))
    span = np.take_along_axis(x, top, axis=1) - origin
    e_span = np.take_along_axis(e, top, axis=1) + e_origin
    steps, told = np.full(len(x), np.nan), np.zeros(len(x), bool)
    tries = grid.reached or tuple(range(1, grid.steps + 1))
    usable = np.abs(span[:, 0]) > 0
    for count in tries:
        step = np.where(usable[:, None], span, 1.0) / count
        q = (x - origin) / step
        allowed = (e + e_origin + np.abs(q) / count * e_span) / np.abs(step)  # of each value, in steps
        bits = np.where(tells, -np.log2(np.minimum(1.0, 2 * allowed)), 0.0).sum(axis=1) - np.log2(len(tries))
        fits = usable & (_off(q, grid.levels) <= allowed).all(axis=1) & (bits >= LEAST_BITS)
        steps = np.where(fits & np.isnan(steps), np.abs(step[:, 0]), steps)
        told = usable & (bits >= LEAST_BITS)  # of the last try, whose steps are the smallest
    told |= ~np.isnan(steps)
    blocks = int(told.sum())
    share = float((~np.isnan(steps)).sum() / blocks) if blocks >= LEAST_BLOCKS else 0.0
    return Fit(share, blocks, steps)


def _off(q: Floats, levels: tuple[int, ...]) -> Floats:
    """How far each value is from the nearest level, in steps."""
    if not levels:
        return np.abs(q - np.rint(q))
    size, known = np.abs(q), np.array(levels, np.float64)
    above = np.clip(np.searchsorted(known, size), 1, len(known) - 1)
    return np.minimum(np.abs(size - known[above - 1]), np.abs(size - known[above]))


def shares_scales(steps: Floats) -> bool:
    """Whether the eight steps of most superblocks are whole multiples, up to 63, of one number."""
    rows = steps.reshape(-1, SUPERBLOCK // 32)
    rows = rows[~np.isnan(rows).any(axis=1)]
    scales = rows / rows.max(axis=1, keepdims=True) * SCALES  # (superblocks, 8)
    near = (np.abs(scales - np.rint(scales)) < 0.1).all(axis=1)  # by chance once in 5^7
    return bool(len(rows)) and float(near.mean()) > 0.5
