"""Tiny GGUF files, written with the gguf package: vocabularies of each kind, and a model of a few kilobytes."""

from pathlib import Path

import gguf
import numpy as np

NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def byte_letters():
    """GPT-2's letters for the 256 bytes, in the bytes' order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def letters(raw):
    table = byte_letters()
    return "".join(table[b] for b in raw)


MERGED = [b"th", b"the", b" t", b" the", b"in", b"er"]
MERGES = [(b"t", b"h"), (b"th", b"e"), (b" ", b"t"), (b" t", b"he"), (b"i", b"n"), (b"e", b"r")]
SPECIALS = ["<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>", "<tool>"]


def bpe_vocabulary(writer, *, add_bos=False, odd_bos=0):
    tokens = [*SPECIALS, *byte_letters(), *(letters(m) for m in MERGED)]
    kinds = [CONTROL] * 4 + [USER] + [NORMAL] * (len(tokens) - 5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{letters(a)} {letters(b)}" for a, b in MERGES])
    writer.add_bos_token_id(odd_bos)
    writer.add_eos_token_id(3)
    writer.add_add_bos_token(add_bos)
    return len(tokens)


def spm_vocabulary(writer):
    grown = ["▁" + word[:n] for word in ("hello", "world") for n in range(1, 6)]  # SPM merges by two
    words = [*grown, "▁", *"ealohwrd"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *words, "<|end|>"]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(words), CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(i) for i in range(len(words))] + [0.0])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    return len(tokens)


def wpm_vocabulary(writer):
    words = ["▁hello", "▁world", "▁caf", "e", "▁the", "s", "▁!", "▁,"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL, UNKNOWN, CONTROL, CONTROL, CONTROL, *[NORMAL] * len(words)])
    writer.add_bos_token_id(2)
    writer.add_unk_token_id(1)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    return len(tokens)


def ugm_vocabulary(writer):
    """T5-like, with add_bos but no BOS token: llama.cpp aborts when it tokenises."""
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["<pad>", "</s>", "<unk>", "▁", "a", "b"])
    writer.add_token_scores([0.0, 0.0, 0.0, -1.0, -2.0, -3.0])
    writer.add_token_types([CONTROL, CONTROL, UNKNOWN, NORMAL, NORMAL, NORMAL])
    writer.add_add_bos_token(True)
    return 6


VOCABULARIES = {"bpe": bpe_vocabulary, "spm": spm_vocabulary, "wpm": wpm_vocabulary, "ugm": ugm_vocabulary}


def vocabulary_file(path: Path, kind: str, *, architecture="llama", **options) -> Path:
    """A file with a vocabulary and no tensors."""
    writer = gguf.GGUFWriter(path, architecture)
    VOCABULARIES[kind](writer, **options)
    return _write(writer, path)


def unlisted_tokens(path: Path, count: int, *, weights: bool) -> Path:
    """A file that announces tokens and lists none; with embeddings of eight of them, or without any tensor."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(count)
    if weights:
        writer.add_tensor("token_embd.weight", np.ones((8, 32), np.float32))
    return _write(writer, path)


def model_file(
    path: Path, *, architecture="llama", context=512, width=32, endless=False, odd_cache=False, **options
) -> Path:
    """A model with random weights: 1 layer, some 300 tokens; `endless`: it may not end its answers.

    `odd_cache`: by its header its KV cache is of a shape that is not reckoned.
    """
    heads, hidden = 2, 64
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, architecture)
    n_vocab = bpe_vocabulary(writer, **options)
    writer.add_name("tiny")
    if endless:
        writer.add_array("tokenizer.ggml.suppress_tokens", [0, 1, 2, 3])
    if odd_cache:
        writer.add_kv_lora_rank(1)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    shapes = {
        "token_embd.weight": (n_vocab, width),
        "output.weight": (n_vocab, width),
        "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,),
        "blk.0.ffn_norm.weight": (width,),
        "blk.0.attn_q.weight": (width, width),
        "blk.0.attn_k.weight": (width, width),
        "blk.0.attn_v.weight": (width, width),
        "blk.0.attn_output.weight": (width, width),
        "blk.0.ffn_gate.weight": (hidden, width),
        "blk.0.ffn_up.weight": (hidden, width),
        "blk.0.ffn_down.weight": (width, hidden),
    }
    for name, shape in shapes.items():
        values = rng.standard_normal(shape) * 0.3 if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(name, values.astype(np.float32))
    return _write(writer, path)


def _write(writer, path):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
