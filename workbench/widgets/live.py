"""What every live view can do: be waited for, be cancelled, and give way to static HTML of what it shows."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from workbench.widgets.jobs import Worker
from workbench.widgets.outputs import CellOutputs

Shown = TypeVar("Shown")  # the value that a view shows


class Live(Generic[Shown]):
    """A view with one `Worker`, shown through `CellOutputs`. Display it, or `await` it until it has settled."""

    _worker: Worker
    _outputs: CellOutputs

    @abstractmethod
    def _settled(self) -> Shown:
        """The value that it shows when nothing runs."""

    @abstractmethod
    def close(self) -> None:
        """End the work, the processes and the live view."""

    def cancel(self) -> None:
        """Stop what runs; what was had stays on screen."""
        self._worker.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until nothing runs; False where `timeout_s` seconds were not enough. In a notebook `await` it."""
        return self._worker.wait(timeout_s)

    async def settled(self) -> Shown:
        """Wait without blocking the kernel, so that Cancel stays alive; gives what it shows, renews the static copy."""
        await asyncio.to_thread(self._worker.wait)
        self._outputs.refresh()
        return self._settled()

    def __await__(self) -> Generator[Any, None, Shown]:
        return self.settled().__await__()

    def freeze(self) -> None:
        """Replace the live view by static HTML of what it shows, and end its processes."""
        self._outputs.freeze()
        self.close()
