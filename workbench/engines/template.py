"""A chat template and where it came from; how a setup and a model file decide which one it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import CannotRun

if TYPE_CHECKING:
    from workbench.gguf.header import Header
    from workbench.setup import Setup

TEMPLATE_KEY = "tokenizer.chat_template"
BOS_KEY, EOS_KEY = "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"
# Pre-tokenizers with which llama.cpp adds BOS where the file does not say.
BOS_BY_DEFAULT = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")
TOKENS_KEY = "tokenizer.ggml.tokens"
# The engine's variable for each token that a GGUF file names by its id.
TOKEN_KEYS = {
    "tokenizer.ggml.bos_token_id": "bos_token",
    "tokenizer.ggml.eos_token_id": "eos_token",
    "tokenizer.ggml.unknown_token_id": "unk_token",
    "tokenizer.ggml.seperator_token_id": "sep_token",
    "tokenizer.ggml.padding_token_id": "pad_token",
    "tokenizer.ggml.cls_token_id": "cls_token",
    "tokenizer.ggml.mask_token_id": "mask_token",
}


@dataclass(frozen=True)
class Template:
    """A chat template.

    `text` is the default template, empty where there are only named ones; `named` are variants such as
    `("tool_use", "...")`; `special_tokens` the variables such as `("bos_token", "<s>")`; `label` says
    where it came from. For an engine that loads a model: `model` is its path, `own` says that the template is
    the file's own, unchanged, `adds_bos` and `adds_eos` that its tokenizer adds these tokens.
    """

    text: str
    named: tuple[tuple[str, str], ...] = ()
    special_tokens: tuple[tuple[str, str], ...] = ()
    label: str = "model"
    model: str | None = None
    own: bool = False
    adds_bos: bool = False
    adds_eos: bool = False


def resolve_template(setup: Setup, header: Header | None) -> Template:
    """The template that `setup` asks for: a text, a file, or the model's own with the setup's metadata on top.

    Special tokens are the model's wherever the template is from. A model without a template gives an empty
    one, labelled none: what is rendered then, each engine decides. Errors: `BadFile` for a template file
    that cannot be read, `BadRequest` for metadata of a wrong kind.
    """
    from pathlib import Path

    from workbench.conversation import read_text
    from workbench.gguf.overrides import check_overrides

    check_overrides(header, setup.metadata.value())
    source = setup.template.source or "model"
    special = _special_tokens(setup, header)
    adds = _adds(setup, header)
    if source.startswith("text:"):
        return Template(source[5:], (), special, "text", setup.model, **adds)
    if source.startswith("file:"):
        path = Path(source[5:]).expanduser()
        text = read_text(path, "a chat template")
        return Template(text, (), special, f"file {path.name}", setup.model, **adds)
    own_text, named = _of_model(setup, header)
    own = not any(key.startswith(TEMPLATE_KEY) for key in setup.metadata.value())
    return Template(own_text, named, special, "model" if own_text or named else "none", setup.model, own, **adds)


def _adds(setup: Setup, header: Header | None) -> dict[str, bool]:
    """Whether the tokenizer adds BOS and EOS: what setup or file say, else llama.cpp's default for its kind.

    https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/src/llama-vocab.cpp
    """
    given = setup.metadata.value()
    kind = header.get("tokenizer.ggml.model") if header is not None else None
    pre = header.get("tokenizer.ggml.pre") if header is not None else None
    bos = kind == "llama" or pre in BOS_BY_DEFAULT
    found = {"adds_bos": bos, "adds_eos": False}
    if header is not None:
        own = {"adds_bos": header.add_bos, "adds_eos": header.add_eos}
        found |= {name: value for name, value in own.items() if value is not None}
    keys = {"adds_bos": BOS_KEY, "adds_eos": EOS_KEY}
    return found | {name: bool(given[key]) for name, key in keys.items() if given.get(key) is not None}


def applied_text(template: Template, *, has_tools: bool) -> str:
    """The text that applies to a request: of several templates that named `tool_use` where the request has tools.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/tokenization_utils_base.py#L3319
    """
    named = dict(template.named)
    if has_tools and "tool_use" in named:
        return named["tool_use"]
    return template.text or named.get("default", "")


def require_template(template: Template) -> None:
    """For what needs a template of the model's or the user's own. Errors: `CannotRun` where there is none."""
    if not template.text and not template.named:
        raise CannotRun(
            f"{template.model or 'the setup'} has no chat template",
            "accepted are a model with tokenizer.chat_template, or a template of your own",
            'set template.source to "file:PATH" or "text:..."',
        )


def _of_model(setup: Setup, header: Header | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The default template (empty where there is none) and the named ones, overrides applied."""
    text: Any = header.chat_template if header is not None else None
    named: dict[str, Any] = dict(header.named_templates) if header is not None else {}
    for key, value in setup.metadata.value().items():
        if key == TEMPLATE_KEY:
            text = value
        elif key.startswith(TEMPLATE_KEY + "."):
            named[key[len(TEMPLATE_KEY) + 1 :]] = value
    if "default" in named and not text:
        text = named.pop("default")
    return (text or ""), tuple((name, str(value)) for name, value in named.items() if value is not None)


def _special_tokens(setup: Setup, header: Header | None) -> tuple[tuple[str, str], ...]:
    """The model's special tokens, those that the setup's metadata names by another id replaced."""
    tokens = dict(header.special_tokens) if header is not None else {}
    metadata = setup.metadata.value()
    pieces: Any = metadata.get(TOKENS_KEY)
    for key, name in TOKEN_KEYS.items():
        if key not in metadata and TOKENS_KEY not in metadata:
            continue
        if pieces is None and header is not None and header.n_vocab:
            pieces = header.array(TOKENS_KEY)
        index = metadata[key] if key in metadata or header is None else header.get(key)
        if isinstance(index, int) and pieces is not None and 0 <= index < len(pieces):
            piece = pieces[index]
            tokens[name] = piece.decode("utf-8", "replace") if isinstance(piece, bytes) else str(piece)
        elif index is None:
            tokens.pop(name, None)
    return tuple(tokens.items())
