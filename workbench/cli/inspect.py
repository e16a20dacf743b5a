"""Show what a GGUF file says of itself: metadata, chat template, tokenizer flags, special tokens, tensor types.

The weights are not loaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.output import DONE, block, heading, print_json, print_lines, table
from workbench.data import model_path
from workbench.values import clip

if TYPE_CHECKING:
    from workbench.gguf.header import Header

NAME = "inspect"
VALUE_WIDTH = 90  # characters of a metadata value that the text output shows; --json has all
EXAMPLES = """\
examples:
  workbench inspect model.gguf
  workbench inspect model.gguf --json | python -m json.tool
  workbench inspect demo
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("model", metavar="MODEL", help='a GGUF file, or "demo" for the demo model')


def run(arguments: argparse.Namespace) -> int:
    """Read the header and print it."""
    from workbench.gguf.fingerprint import fingerprint
    from workbench.gguf.header import read_header

    header = read_header(model_path(arguments.model))
    facts = collect(header, fingerprint(header.path))
    if arguments.json:
        print_json(facts)
    else:
        print_lines(describe(facts))
    return DONE


def collect(header: Header, fingerprint: str) -> dict[str, Any]:
    """The facts as plain JSON; arrays of the metadata are summarised."""
    return {
        "file": Path(header.path).name,
        "bytes": header.file_size,
        "gguf_version": header.version,
        "fingerprint": fingerprint,
        "name": header.name,
        "architecture": header.architecture,
        "layers": header.n_layer,
        "context_length": header.context_length,
        "has_weights": header.has_weights,
        "is_embedding_model": header.is_embedding_model,
        "tensor_types": header.tensor_types(),
        "tokenizer": {
            "model": header.tokenizer_model,
            "pre": header.pre_tokenizer,
            "n_vocab": header.n_vocab,
            "add_bos": header.add_bos,
            "add_eos": header.add_eos,
            "flags": {
                k: v for k, v in header.metadata.value().items() if k.startswith("tokenizer.") and type(v) is bool
            },
        },
        "special_tokens": special_tokens(header),
        "template": header.chat_template,
        "named_templates": dict(header.named_templates),
        "metadata": header.metadata.value(),
    }


def special_tokens(header: Header) -> dict[str, Any]:
    """`{role: {id, text}}` for every token that the file names by id, under llama.cpp's name of the role."""
    texts = header.special.value()
    start, end = "tokenizer.ggml.", "_token_id"
    ids = {
        key.removeprefix(start).removesuffix(end): value
        for key, value in header.metadata.value().items()
        if key.startswith(start) and key.endswith(end)
    }
    return {role: {"id": token, "text": texts.get(role)} for role, token in ids.items()}


def describe(facts: dict[str, Any]) -> list[str]:
    """The same facts as lines of text."""
    tokenizer, tensors = facts["tokenizer"], facts["tensor_types"]
    kind = "vocabulary only, no weights" if not facts["has_weights"] else None
    kind = "embedding model: it scores no next token" if facts["is_embedding_model"] else kind
    lines = [
        heading("File", f"{facts['file']}, {facts['bytes']:,} bytes, GGUF version {facts['gguf_version']}"),
        heading("Model", f"{facts['name']}, {facts['architecture']}, {facts['layers'] or '?'} layers"),
        *([heading("", kind)] if kind else []),
        heading(
            "Context", f"{facts['context_length']:,} tokens in training" if facts["context_length"] else "not said"
        ),
        heading("Fingerprint", facts["fingerprint"]),
        heading("Tensors", f"{sum(t['count'] for t in tensors.values()):,}"),
        *table([(name, t["count"], f"{t['bytes'] / 2**20:,.1f} MiB") for name, t in tensors.items()]),
        heading(
            "Tokenizer", f"{tokenizer['model']}, pre-tokenizer {tokenizer['pre']}, {tokenizer['n_vocab']:,} tokens"
        ),
        *table([(name.removeprefix("tokenizer.ggml."), value) for name, value in tokenizer["flags"].items()]),
        heading("Special"),
        *table([(role, t["id"], t["text"]) for role, t in facts["special_tokens"].items()]),
    ]
    lines += _templates(facts)
    lines.append(heading("Metadata", f"{len(facts['metadata'])} keys"))
    return lines + table([(key, clip(_summary(value), VALUE_WIDTH)) for key, value in facts["metadata"].items()])


def _templates(facts: dict[str, Any]) -> list[str]:
    text = facts["template"]
    if text is None:
        return [heading("Template", "none")]
    lines = [heading("Template", f"{len(text):,} characters"), *block(text)]
    return lines + [
        heading("Template", f"{name}, {len(t):,} characters") for name, t in facts["named_templates"].items()
    ]


def _summary(value: Any) -> str:
    if isinstance(value, dict) and "count" in value:
        return f"{value['count']:,} {'item' if value['count'] == 1 else 'items, the first'}: {value.get('first')}"
    return str(value)
