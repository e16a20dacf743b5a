"""The model, a llama of 3.7 million parameters as llama.cpp reads it, and its starting weights."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812  (its customary name)
from torch import Tensor, nn

from shape import Shape


class Layer(nn.Module):
    """Attention and gated feed-forward, each behind an RMS norm and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, head = shape.width, shape.head
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.feed_norm = nn.Parameter(torch.ones(width))
        self.qkv = _matrix((shape.heads + 2 * shape.kv_heads) * head, width)
        self.out = _matrix(width, shape.heads * head, scale=0.3 / math.sqrt(2 * shape.layers))
        self.gate_up = _matrix(2 * shape.feed_forward, width)
        self.down = _matrix(width, shape.feed_forward, scale=0.3 / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, time, width) float32 to the same; matrices multiply in the type of `cos`."""
        shape, kind = self.shape, cos.dtype
        batch, time, _ = x.shape
        normed = F.rms_norm(x, x.shape[-1:], self.attention_norm, shape.epsilon).to(kind)
        parts = (normed @ self.qkv.to(kind).t()).view(batch, time, -1, shape.head).transpose(1, 2)
        q, k, v = parts.split([shape.heads, shape.kv_heads, shape.kv_heads], 1)  # (batch, heads, time, head)
        k, v = (part.repeat_interleave(shape.heads // shape.kv_heads, 1) for part in (rotate(k, cos, sin), v))
        mixed = attend(rotate(q, cos, sin), k, v)
        x = x + mixed.transpose(1, 2).reshape(batch, time, -1) @ self.out.to(kind).t()
        normed = F.rms_norm(x, x.shape[-1:], self.feed_norm, shape.epsilon).to(kind)
        gate, up = (normed @ self.gate_up.to(kind).t()).chunk(2, -1)  # (batch, time, feed_forward)
        return x + (F.silu(gate) * up) @ self.down.to(kind).t()


class Toolsmith(nn.Module):
    """Token ids (batch, time) to logits (batch, time, vocabulary); row i is about token i + 1."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.width))
        self.head = nn.Parameter(torch.zeros(shape.vocabulary, shape.width))
        self.norm = nn.Parameter(torch.ones(shape.width))
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        angle = torch.outer(torch.arange(shape.context).double(), turn_rates(shape))
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, ids: Tensor, kind: torch.dtype = torch.float32, where: Tensor | None = None) -> Tensor:
        """Logits in `kind`, the type in which matrices are multiplied; (n, vocabulary) where `where` holds n times."""
        x = F.embedding(ids, self.embedding)
        cos, sin = (table[: ids.shape[1]].to(kind) for table in (self.cos, self.sin))
        for layer in self.layers:
            x = layer(x, cos, sin)
        x = x if where is None else x[where]
        return F.rms_norm(x, x.shape[-1:], self.norm, self.shape.epsilon).to(kind) @ self.head.to(kind).t()


def turn_rates(shape: Shape) -> Tensor:
    """Radians a position for each pair of a head, float64."""
    return shape.rope_base ** (-torch.arange(0, shape.head, 2).double() / shape.head)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position: neighbours 2i and 2i + 1 turn together, as llama.cpp's llama does it."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def attend(q: Tensor, k: Tensor, v: Tensor, block: int = 128) -> Tensor:
    """Causal attention of (batch, heads, time, head), a block of queries at a time against no later keys.

    On a CPU this is faster in bfloat16 than the fused kernel, whose backward pass took a third of a step.
    """
    time, found = q.shape[2], []
    for start in range(0, time, block):
        end = min(time, start + block)
        scores = (q[:, :, start:end] @ k[:, :, :end].transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
        later = torch.arange(end)[None, :] > torch.arange(start, end)[:, None]  # (queries, keys)
        weights = scores.masked_fill(later, float("-inf")).softmax(-1).to(v.dtype)
        found.append(weights @ v[:, :, :end])
    return torch.cat(found, 2)


def _matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * scale / math.sqrt(columns))


@torch.no_grad()
def teach_copying(model: Toolsmith) -> None:
    """Write an induction circuit into fresh weights: what followed this token before is likely to follow again.

    Head 0 of layer 0 attends to the token before and leaves its embedding in a subspace of the stream. Head 0 of
    layer 1 looks for a place whose predecessor is the present token and adds the token found there to the logits.
    Random weights found this by themselves only after millions of tokens, or never.
    """
    shape, head = model.shape, model.shape.head
    first_k, first_v = shape.heads * head, (shape.heads + shape.kv_heads) * head
    rates = turn_rates(shape).float()
    constant = 4.0  # one coordinate of every embedding is the same: a bias for heads that ask for a position only
    model.embedding[:, 0] = constant
    basis = torch.linalg.qr(torch.randn(shape.width, shape.width))[0]
    memory, found = basis[:, :head], basis[:, head : 2 * head]  # subspaces: the token before, the token to copy
    read, copy = (torch.linalg.qr(torch.randn(shape.width, head))[0].t().contiguous() for _ in range(2))
    read[:, 0] = copy[:, 0] = 0

    layer = model.layers[0]
    strength = 6.0 * math.sqrt(1 + constant**2 / shape.width) / constant
    layer.qkv[:head] *= 0.05
    layer.qkv[first_k : first_k + head] *= 0.05
    layer.qkv[0:head:2, 0], layer.qkv[1:head:2, 0] = strength, 0.0
    layer.qkv[first_k : first_k + head : 2, 0] = strength * rates.cos()  # keys turned one position ahead
    layer.qkv[first_k + 1 : first_k + head : 2, 0] = strength * rates.sin()
    layer.qkv[first_v : first_v + head] = read
    layer.out[:, :head] = memory

    layer = model.layers[1]
    slow = (rates < 0.004).repeat_interleave(2)[:, None]  # pairs that hardly turn compare content, not position
    layer.qkv[:head] = 3.5 * read * slow
    layer.qkv[first_k : first_k + head] = 7.0 * memory.t() * slow
    layer.qkv[first_v : first_v + head] = copy
    layer.out[:, :head] = 1.5 * found
    model.head.copy_(0.1 * (model.embedding @ copy.t()) @ found.t())
