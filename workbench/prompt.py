"""What a comparison or a lens works on: token ids, given as such or made of a request."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.errors import BadRequest, CannotRun
from workbench.stages import Rendered, Tokens
from workbench.trace import Trace, trace

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.progress import Cancel, Progress
    from workbench.runtime.host import Host
    from workbench.setup import Setup

    Given = Conversation | dict[str, Any] | list[Any] | str | Path | Tokens | Trace


class Prompt(NamedTuple):
    """Token ids, and where they were had from a request its tokens and text."""

    ids: list[int]
    tokens: Tokens | None = None
    rendered: Rendered | None = None

    def pieces(self, host: Host) -> tuple[bytes, ...]:
        """What each id stands for."""
        if self.tokens is not None:
            return self.tokens.pieces
        found = host.pieces(sorted(set(self.ids)))
        return tuple(found[i] for i in self.ids)


def prompt_of(
    given: Given, setup: Setup, *, host: Host, progress: Progress | None = None, cancel: Cancel | None = None
) -> Prompt:
    """The prompt of a request under `setup`, of a trace, of tokens, or ids as they are.

    Errors: `BadRequest` for no tokens or something else; `CannotRun` where the request does not reach its tokens;
    those of `trace()`.
    """
    prompt = _prompt_of(given, setup, host, progress, cancel)
    if not prompt.ids:
        raise BadRequest("there are no tokens", "accepted is a prompt of at least one", "give a request or ids")
    return prompt


def _prompt_of(given: Given, setup: Setup, host: Host, progress: Progress | None, cancel: Cancel | None) -> Prompt:
    if isinstance(given, Tokens):
        return Prompt(given.ids.tolist(), given)
    if is_ids(given):
        return Prompt([int(i) for i in given])  # type: ignore[union-attr]  # looked at above
    if not isinstance(given, Trace):
        given = trace(given, setup, until="tokens", host=host, progress=progress, cancel=cancel)
    if given.tokens is None:
        stopped = given.stopped
        why = stopped.error.value()["message"] if stopped else "it was made without tokens"
        raise CannotRun(f"the request has no tokens: {why}", "accepted is a request that reaches its tokens")
    return Prompt(given.tokens.ids.tolist(), given.tokens, given.rendered)


def is_ids(given: Any) -> bool:
    """Whether these are token ids: an array or a list of whole numbers."""
    if isinstance(given, np.ndarray):
        return given.dtype.kind in "iu"
    if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable):
        return False
    return isinstance(given, list | tuple) and all(isinstance(i, int | np.integer) for i in given)
