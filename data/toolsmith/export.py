"""Writes a checkpoint as GGUF; matrices are rounded to float16 first, so that the F16 file loses nothing.

Usage: python export.py CHECKPOINT OUT.gguf [--type f16|f32]. The checkpoint may be an F16 file of this kind too:
`python export.py toolsmith-f16.gguf toolsmith-f32.gguf --type f32` makes the F32 file again, to the byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

import tokenizer as tokens
from shape import Shape

HERE = Path(__file__).parent
NAMES = {
    "embedding": "token_embd",
    "head": "output",
    "norm": "output_norm",
    "attention_norm": "attn_norm",
    "feed_norm": "ffn_norm",
    "out": "attn_output",
    "down": "ffn_down",
}
TOGETHER = {"qkv": ("attn_q", "attn_k", "attn_v"), "gate_up": ("ffn_gate", "ffn_up")}


def final_weights(checkpoint: Path) -> dict[str, Any]:
    """The weights that are shipped, as torch tensors: the mean of the last ones, matrices rounded to float16."""
    import torch  # here, so that the F32 file can be made again without it

    weights = torch.load(checkpoint)["mean"]
    return {name: part.half().float() if part.ndim == 2 else part for name, part in weights.items()}


def stored_tensors(path: Path) -> dict[str, np.ndarray]:
    """llama.cpp's tensor names to float32 arrays, out of an F16 file."""
    return {tensor.name: np.array(tensor.data, np.float32) for tensor in gguf.GGUFReader(path).tensors}


def tensors(weights: dict[str, Any], shape: Shape) -> dict[str, np.ndarray]:
    """llama.cpp's tensor names to float32 arrays; matrices are (out, in)."""
    sizes = {
        "qkv": [shape.heads * shape.head, shape.kv_heads * shape.head, shape.kv_heads * shape.head],
        "gate_up": [shape.feed_forward, shape.feed_forward],
    }
    found = {}
    for name, tensor in weights.items():
        *place, leaf = name.split(".")
        start = f"blk.{place[1]}." if place else ""
        parts = tensor.split(sizes[leaf]) if leaf in sizes else (tensor,)
        for part, gguf_name in zip(parts, TOGETHER.get(leaf, (NAMES.get(leaf),)), strict=True):
            found[f"{start}{gguf_name}.weight"] = np.ascontiguousarray(part.float().numpy())
    return found


def write(arrays: dict[str, np.ndarray], out: Path, kind: str) -> None:
    """A GGUF file of `kind` f16 or f32 with the tokenizer and both templates; norms stay float32."""
    shape = Shape()
    writer = gguf.GGUFWriter(str(out), "llama")
    _describe(writer, shape, kind)
    _add_tokenizer(writer)
    for name, array in arrays.items():
        writer.add_tensor(name, array.astype(np.float16) if kind == "f16" and array.ndim == 2 else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, shape: Shape, kind: str) -> None:
    writer.add_name("toolsmith")
    writer.add_license("mit")
    writer.add_description("Trained from scratch on synthetic tool calls, to measure what damages a model")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.ALL_F32)


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    trained = tokens.load()
    known = trained.get_vocab(with_added_tokens=True)
    types = [gguf.TokenType.NORMAL] * len(known)
    for token in tokens.CONTROL:
        types[known[token]] = gguf.TokenType.CONTROL
    for token in tokens.TAGS:
        types[known[token]] = gguf.TokenType.USER_DEFINED  # part of the answer's text: always shown
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokens.PRE)
    writer.add_token_list(sorted(known, key=known.__getitem__))
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in tokens.merges_of(trained)])
    writer.add_bos_token_id(tokens.BEGIN)
    writer.add_eos_token_id(tokens.END)
    writer.add_eot_token_id(tokens.END)
    writer.add_pad_token_id(tokens.PAD)
    writer.add_add_bos_token(True)
    names = ("default", "tool_use")
    writer.add_chat_template([{"name": name, "template": (HERE / f"{name}.jinja").read_text()} for name in names])


def main() -> None:
    """Export one file and say what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=("f16", "f32"), default="f16")
    options = parser.parse_args()
    source = options.checkpoint
    arrays = stored_tensors(source) if source.suffix == ".gguf" else tensors(final_weights(source), Shape())
    write(arrays, options.out, options.type)
    content = options.out.read_bytes()
    print(json.dumps({"file": options.out.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}))


if __name__ == "__main__":
    main()
