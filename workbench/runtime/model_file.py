"""Which file a setup really loads: the user's own, with or without overrides, or an altered copy of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import BadRequest, CannotRun
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import FileState, Header, file_state, read_header, require_unchanged
from workbench.gguf.overrides import split_overrides
from workbench.gguf.sizes import check_layers, check_tokens, with_metadata
from workbench.progress import Cancel, Progress
from workbench.runtime.cost import part
from workbench.setup import Setup
from workbench.values import FrozenJSON

ENCODER_DECODERS = ("t5",)


class ModelFile(NamedTuple):
    """What is to be loaded. `sized`: the header as the setup's metadata make it, for what is reckoned from it.

    `identity` changes with everything that needs another load: the settings that cost a reload and the
    file's own state, so that a file that was written anew is loaded anew.
    """

    header: Header
    live: dict[str, Any]
    copied: dict[str, Any]
    identity: tuple[Any, ...]
    sized: Header

    def path(self, *, weights: bool, progress: Progress | None = None, cancel: Cancel | None = None) -> str:
        """The path for llama.cpp, made first where it is an altered copy. Errors: `CannotRun`, `Cancelled`."""
        if not self.copied:
            return self.header.path
        return str(altered_copy(self.header, self.copied, tensors=weights, progress=progress, cancel=cancel))

    def require_unchanged(self) -> None:
        """Errors: `BadFile` where the file that llama.cpp has mapped was written to since.

        One that was removed, or in whose place another one was put, stays mapped as it was.
        """
        before = FileState(*self.identity[1:])
        with contextlib.suppress(OSError):
            now = Path(self.header.path).stat()
            if now.st_ino == before.inode and not self.copied:
                require_unchanged(self.header.path, before, "the model's process read it")

    def require_weights(self) -> None:
        """Errors: `CannotRun` where this model gives no probabilities of a next token, those of `check_layers`."""
        if not self.header.has_weights:
            raise CannotRun(
                f"{self.header.path} holds a vocabulary and no weights",
                "scoring and generating need weights; rendering and tokenising work",
                "use the whole model's file",
            )
        if self.header.architecture in ENCODER_DECODERS:
            raise CannotRun(
                f"{self.header.path} is an encoder-decoder model ({self.header.architecture})",
                "scoring and generating run decoder-only models; rendering and tokenising work",
                "use a decoder-only model",
            )
        if self.header.is_embedding_model:
            raise CannotRun(
                f"{self.header.path} is an embedding model ({self.header.architecture})",
                "it gives no probabilities of a next token; rendering and tokenising work",
                "use a generative model",
            )
        check_layers(self.header, self.live | self.copied)


def model_file(setup: Setup) -> ModelFile:
    """The file for this setup. Errors: `BadRequest` where it names no model, `BadFile` for a bad one."""
    if setup.model is None:
        raise BadRequest("the setup has no model", 'accepted is {"model": "PATH"}', "name a GGUF file")
    header = read_header(setup.model)
    given = setup.metadata.value()
    live, copied = split_overrides(header, given)
    check_tokens(header, given)
    settings = FrozenJSON(part(setup, "reload")).text
    identity = (settings, *file_state(header.path))
    return ModelFile(header, live, copied, identity, with_metadata(header, given))
