"""What a template engine is to the rest of the workbench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.progress import Cancel
    from workbench.stages import Rendered

    from .template import Template


@dataclass(frozen=True)
class Job:
    """One render: `clock` is an ISO time, None for now; `track` asks for spans and events.

    `on_text` may be called with the text while its origins are still followed; `tell` False asks for the text alone,
    where what the engine changed in the request takes as long again to find out.
    """

    conversation: Conversation
    template: Template
    clock: str | None = None
    track: bool = True
    on_text: Callable[[str], None] | None = field(default=None, compare=False)
    tell: bool = True


class Engine(Protocol):
    """One template engine; the next one is a file beside this with these four."""

    @property
    def name(self) -> str:
        """Its name in a setup, one of `workbench.setup.ENGINE_NAMES`."""
        ...

    def missing(self) -> str | None:
        """The command that installs what it needs, None where that is there."""
        ...

    def version(self) -> str:
        """What renders, with version numbers."""
        ...

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        ...
