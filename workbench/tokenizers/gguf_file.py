"""The tokenizer of a setup: llama.cpp's, with the vocabulary of a GGUF file, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.stages import Tokens
from workbench.tokenizers.base import own_ids

if TYPE_CHECKING:
    from workbench.progress import Cancel


class GgufTokenizer:
    """Tokenises as the setup says, its metadata and tokenizer flags included; weights are not needed."""

    def __init__(self, setup: Setup) -> None:
        self._host = Host(setup)

    @property
    def name(self) -> str:
        """The model file's name."""
        return Path(self._host.setup.model or "no model").name

    def tokenize(self, text: str, *, cancel: Cancel | None = None) -> Tokens:
        """The text's tokens. Errors: those of the host."""
        return self._host.tokenize(text, cancel=cancel)

    def detokenize(self, tokens: Tokens) -> bytes:
        """What `llama_detokenize` gives, special tokens as text. Errors: those of the host."""
        return self._host.detokenize(own_ids(tokens))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self._host.close()
