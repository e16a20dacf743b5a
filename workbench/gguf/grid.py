"""Whether weights sit on a quantisation grid: a "F16" file that was made from a Q4 one keeps the Q4's few levels.

A comparison against such a file is circular: it tells how near a candidate comes to the rounding of the file that
the base was made from, not to the model. A sample of every matrix is read and held against each grid, see
`lattice.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from workbench.errors import Cancelled
from workbench.gguf.header import Header, Tensor, read_header
from workbench.gguf.lattice import GRIDS, SUPERBLOCK, Fit, Floats, Grid, on_grid, shares_scales, values_and_errors
from workbench.progress import Cancel, Progress
from workbench.values import Value

FIRST, SAMPLE = 4, 24  # superblocks of a tensor: enough to tell honest weights, to be sure of a grid
LEAST_SHARE = 0.9  # of the blocks that tell anything
PLAIN: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


class TensorGrid(NamedTuple):
    """One tensor of weights: how it is stored, the grid that its values are on ("" for none).

    `fit`: the share of the `blocks` that told anything which are on that grid; both 0 where it is stored quantised.
    """

    tensor: str
    stored: str
    weights: int
    grid: str
    blocks: int
    fit: float


@dataclass(frozen=True)
class Grids(Value):
    """The grids of a file's weights, tensor by tensor; vectors (norms, biases) are left out."""

    model: str
    tensors: tuple[TensorGrid, ...]

    @property
    def shares(self) -> dict[str, float]:
        """The share of the weights (0 to 1) on each grid, the greatest first; "" is no grid."""
        found: dict[str, int] = {}
        for tensor in self.tensors:
            found[tensor.grid] = found.get(tensor.grid, 0) + tensor.weights
        total = sum(found.values())
        return {name: weights / total for name, weights in sorted(found.items(), key=lambda item: -item[1])}

    @property
    def on_grid(self) -> bool:
        """Whether most weights are on one, as in a quantised file or one that was made from it."""
        return 1 - self.shares.get("", 0.0) > 0.5

    @property
    def hidden(self) -> bool:
        """Whether most weights are on a grid that their stored type does not tell."""
        total = sum(t.weights for t in self.tensors)
        return sum(t.weights for t in self.tensors if t.grid and t.grid != t.stored) > total / 2

    @property
    def words(self) -> str:
        """Which grids, in one sentence; empty for honest weights."""
        if not self.on_grid:
            return ""
        count = {name: sum(t.grid == name for t in self.tensors) for name in self.shares if name}
        parts = [f"{100 * self.shares[name]:.0f} % {name} ({n} of {len(self.tensors)})" for name, n in count.items()]
        stored = ", ".join(dict.fromkeys(t.stored for t in self.tensors))
        how = f"is stored as {stored}, but its weights sit on the grid of a quantised file" if self.hidden else ""
        return f"{self.model} {how or 'is a quantised file'}: {', '.join(parts)}"

    @property
    def as_reference(self) -> str:
        """What a comparison against these weights is worth, in one sentence; empty for honest weights."""
        if self.hidden:
            return (
                f"the comparison is circular: {self.words}; a candidate is held against that file's rounding, "
                "and one of the same grid repeats it"
            )
        return f"the base is no original: {self.words}; the figures count from its rounding" if self.on_grid else ""

    def to_dict(self) -> dict[str, Any]:
        """`{model, on_grid, hidden, shares, words, tensors}`."""
        found: dict[str, Any] = {"model": self.model, "on_grid": self.on_grid, "hidden": self.hidden}
        found |= {"shares": self.shares, "words": self.words}
        return found | {"tensors": self._rows()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Grids:
        """The inverse of `to_dict`."""
        return cls(data["model"], tuple(TensorGrid(**tensor) for tensor in data["tensors"]))

    def _rows(self) -> list[dict[str, Any]]:
        return [tensor._asdict() for tensor in self.tensors]

    def __repr__(self) -> str:
        return f"Grids({self.words or f'{self.model}: no grid in {len(self.tensors)} tensors'})"


def weight_grids(path: str | Path, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Grids:
    """The grids of this file's weights; only a sample of them is read. Errors: `BadFile`, `Cancelled`."""
    header = read_header(path)
    matrices = [tensor for tensor in header.tensors if len(tensor.shape) > 1]
    found = []
    with Path(header.path).open("rb") as file:
        for i, tensor in enumerate(matrices):
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"looking at the weights of {Path(header.path).name} was cancelled")
            found.append(_look(file, header, tensor))
            if progress is not None and (i % 32 == 0 or i + 1 == len(matrices)):
                progress("looking at the weights", i + 1, len(matrices))
    return Grids(Path(header.path).name, tuple(found))


def _look(file: BinaryIO, header: Header, tensor: Tensor) -> TensorGrid:
    weights = int(np.prod(tensor.shape))
    if tensor.type not in PLAIN:
        return TensorGrid(tensor.name, tensor.type, weights, tensor.type, 0, 0.0)
    if tensor.shape[0] % 32 == 0:  # no other width can be quantised
        few, many = (_sample(file, header, tensor, n) for n in (FIRST, SAMPLE))
        for grid in GRIDS:
            if on_grid(grid, *few).fit >= LEAST_SHARE and (sure := on_grid(grid, *many)).fit >= LEAST_SHARE:
                return TensorGrid(tensor.name, tensor.type, weights, _name(grid, tensor, sure), sure.blocks, sure.fit)
    return TensorGrid(tensor.name, tensor.type, weights, "", 0, 0.0)


def _name(grid: Grid, tensor: Tensor, found: Fit) -> str:
    """The grid's name, or that of the K-quant with the same blocks; both where BF16 is too coarse to tell."""
    if not grid.shared or tensor.shape[0] % SUPERBLOCK:
        return grid.name
    if tensor.type == "BF16":
        return f"{grid.name} or {grid.shared}"
    return grid.shared if shares_scales(found.steps) else grid.name


def _sample(file: BinaryIO, header: Header, tensor: Tensor, n: int) -> tuple[Floats, Floats]:
    """Values of up to `n` superblocks from all over the tensor, and how far rounding moved each; (n, 256) both."""
    kind, total = PLAIN[tensor.type], int(np.prod(tensor.shape)) // SUPERBLOCK
    rows = np.unique(np.linspace(0, max(total - 1, 0), n).astype(int))[: max(total, 0)]
    raw = np.empty((len(rows), SUPERBLOCK), kind)
    for i, row in enumerate(rows):
        file.seek(header.data_offset + tensor.offset + int(row) * SUPERBLOCK * kind.itemsize)
        raw[i] = np.frombuffer(file.read(SUPERBLOCK * kind.itemsize), kind)
    return values_and_errors(raw, tensor.type)
