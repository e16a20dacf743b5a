"""Muon for the matrices inside the layers, AdamW for all else.

Muon replaces the momentum of a matrix by the nearest matrix with equal singular values, found by a few steps of
Newton-Schulz: https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from model import Toolsmith

_STEPS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # the quintic of that page: steep at zero, near 1 elsewhere


class Optimizer:
    """Both optimizers behind one `step(rate)`, where `rate` is the share of the peak learning rates."""

    def __init__(self, model: Toolsmith, *, matrix_rate: float = 0.02, other_rate: float = 1.5e-3) -> None:
        self.matrix_rate, self.other_rate = matrix_rate, other_rate
        self.matrices = [p for name, p in model.named_parameters() if name.startswith("layers") and p.ndim == 2]
        inside = {id(p) for p in self.matrices}
        others = [p for p in model.parameters() if id(p) not in inside]
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    @torch.no_grad()
    def step(self, rate: float, *, inertia: float = 0.95, decay: float = 0.01) -> None:
        """One update from the gradients."""
        self.adam.param_groups[0]["lr"] = self.other_rate * rate
        self.adam.step()
        size = self.matrix_rate * rate
        updates = torch.zeros(sum(p.numel() for p in self.matrices))
        places = updates.split([p.numel() for p in self.matrices])
        for i, (parameter, momentum) in enumerate(zip(self.matrices, self.momentum, strict=True)):
            momentum.lerp_(parameter.grad, 1 - inertia)
            if i * dist.get_world_size() // len(self.matrices) == dist.get_rank():
                direction = parameter.grad.lerp(momentum, inertia)
                places[i].copy_(torch.cat([_orthogonal(part) for part in _parts(direction)]).flatten())
        dist.all_reduce(updates)  # each worker has worked out its own share
        for parameter, update in zip(self.matrices, places, strict=True):
            parameter.mul_(1 - size * decay).add_(update.view_as(parameter), alpha=-size)

    def state_dict(self) -> dict:
        """What a later session needs to go on."""
        return {"adam": self.adam.state_dict(), "momentum": self.momentum}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a saved state."""
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.momentum, state["momentum"], strict=True):
            mine.copy_(saved)


def _parts(matrix: Tensor) -> tuple[Tensor, ...]:
    """Gate and up are two matrices in one tensor, queries, keys and values three in another: take them apart."""
    rows = matrix.shape[0]
    if rows > 768:
        return matrix.chunk(2)
    return matrix.split([256, 128, 128]) if rows == 512 else (matrix,)


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, scaled so that its rows and columns change alike whatever the shape."""
    rows, columns = matrix.shape
    x = matrix.bfloat16() if rows <= columns else matrix.bfloat16().t()
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.t()
        x = _A * x + (_B * square + _C * square @ square) @ x
    x = x if rows <= columns else x.t()
    return x.float() * max(1.0, rows / columns) ** 0.5
