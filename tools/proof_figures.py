"""Writes `workbench/proof/figures.npz`: what toolsmith's weights give by plain float64 arithmetic, without llama.cpp.

Each kind of weights is quantised by llama.cpp, read back with gguf-py and multiplied in numpy, so that no instruction
set, kernel or rounding of a build stands in what builds are held against. Usage: python tools/proof_figures.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import dequantize

from workbench import Host, Setup
from workbench.data import held_out_file, toolsmith
from workbench.proof.cases import FIGURES, KINDS, LENGTHS
from workbench.runtime.quantise import quantise


def main() -> int:
    """Make the figures anew; says how large they are."""
    ids = longest_ids()
    found = {"ids": np.array(ids, np.int32)}
    with tempfile.TemporaryDirectory() as aside:
        for kind, recipe in KINDS.items():
            path = toolsmith() if recipe is None else quantise(toolsmith(), Path(aside, f"{kind}.gguf"), recipe)
            rows = log_probabilities(path, ids)
            found[kind] = rows[[length - 1 for length in LENGTHS]].astype(np.float32)
    np.savez_compressed(FIGURES, **found)
    print(f"{FIGURES}: {FIGURES.stat().st_size:,} bytes")
    return 0


def longest_ids() -> list[int]:
    """The first ids of the held-out requests, one after the other."""
    text = held_out_file().read_text("utf-8")[:4000]
    with Host(Setup.from_dict({"model": str(toolsmith())})) as host:
        return host.tokenize(text).ids.tolist()[: max(LENGTHS)]


def log_probabilities(path: Path, ids: list[int]) -> np.ndarray:
    """(n, vocabulary) float64 of a llama in a GGUF file; row i is about the token behind id i."""
    reader = gguf.GGUFReader(path)
    weights = {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}

    def number(key: str) -> float:
        return float(reader.fields[f"llama.{key}"].contents())

    heads, kv_heads = int(number("attention.head_count")), int(number("attention.head_count_kv"))
    epsilon, base = number("attention.layer_norm_rms_epsilon"), number("rope.freq_base")
    x = weights["token_embd.weight"][ids]  # (n, width)
    for layer in range(int(number("block_count"))):
        part = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"blk.{layer}.")}
        normed = rms(x, part["attn_norm.weight"], epsilon)
        q, k, v = (normed @ part[f"attn_{name}.weight"].T for name in "qkv")
        mixed = attend(rotated(q, heads, base), rotated(k, kv_heads, base), split(v, kv_heads))
        x = x + mixed @ part["attn_output.weight"].T
        normed = rms(x, part["ffn_norm.weight"], epsilon)
        gate = normed @ part["ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (normed @ part["ffn_up.weight"].T)) @ part["ffn_down.weight"].T
    logits = rms(x, weights["output_norm.weight"], epsilon) @ weights["output.weight"].T
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def rms(x: np.ndarray, weight: np.ndarray, epsilon: float) -> np.ndarray:
    """(n, width), each row divided by its root mean square."""
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight


def split(x: np.ndarray, heads: int) -> np.ndarray:
    """(n, heads * head) as (heads, n, head)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def rotated(x: np.ndarray, heads: int, base: float) -> np.ndarray:
    """(n, heads * head) with each neighbouring pair turned by its position, (heads, n, head)."""
    parts = split(x, heads)
    size = parts.shape[-1]
    angle = np.outer(np.arange(len(x)), base ** (-np.arange(0, size, 2) / size))  # (n, head / 2)
    even, odd = parts[..., 0::2], parts[..., 1::2]
    turned = np.empty_like(parts)
    turned[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    turned[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return turned


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(heads, n, head), (kv heads, n, head) twice, to (n, heads * head); each token sees itself and those before."""
    k, v = (np.repeat(part, len(q) // len(part), axis=0) for part in (k, v))
    n, size = q.shape[1:]
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(size)
    scores[:, np.triu_indices(n, 1)[0], np.triu_indices(n, 1)[1]] = -np.inf
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = shares / shares.sum(-1, keepdims=True) @ v
    return mixed.transpose(1, 0, 2).reshape(n, -1)


if __name__ == "__main__":
    sys.exit(main())
