"""Text to tokens by any tokenizer: one file for each kind, `tokenizer_of` the only place that chooses."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.errors import BadRequest
from workbench.setup import TOKENIZER_DEFAULTS, Setup, TokenizerFlags
from workbench.tokenizers.base import Tokenizer
from workbench.tokenizers.gguf_file import GgufTokenizer
from workbench.tokenizers.huggingface import FILE, HfTokenizer
from workbench.tokenizers.llama_server import ServerTokenizer
from workbench.values import clip

Source = Setup | str | Path


def tokenizer_of(source: Source, *, flags: TokenizerFlags = TOKENIZER_DEFAULTS) -> Tokenizer:
    """The tokenizer of a setup, a GGUF file, a `tokenizer.json` (or its folder), or a running llama-server's address.

    `flags` are for those that have none of their own: what a setup sets stays. Errors: `BadRequest` for something else,
    `BadFile`, `CannotRun` where a library is missing.
    """
    if isinstance(source, Setup):
        own = source.tokenizer
        adds = flags.add_special if own.add_special is None else own.add_special
        parses = flags.parse_special if own.parse_special is None else own.parse_special
        return GgufTokenizer(source.replace(tokenizer=TokenizerFlags(adds, parses)))
    text = str(source)
    if text.lstrip().startswith(("http://", "https://")):
        return ServerTokenizer(text, flags)
    path = Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own raises for a user that is not known
    if path.suffix == ".json" or os.path.isfile(path / FILE):  # noqa: PTH113  # it raises for a name too long
        return HfTokenizer(path, flags)
    if not os.path.isfile(path):  # noqa: PTH113  # see above
        raise BadRequest(
            f"{clip(text, 200)} is no tokenizer",
            f"accepted are a setup, a GGUF file, a {FILE} or its folder, a llama-server's http:// address",
            "check the path",
        )
    return GgufTokenizer(Setup(model=text, tokenizer=flags))


__all__ = ["Source", "Tokenizer", "tokenizer_of"]
