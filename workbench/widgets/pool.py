"""Processes of a live view with several setups: one that has a setup's file already goes on with it."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.runtime.host import Host
from workbench.setup import Setup


class Pool:
    """The hosts in use. Not thread-safe: it belongs to the one worker of its view."""

    def __init__(self) -> None:
        self._hosts: list[Host] = []

    def hosts_for(self, setups: Sequence[Setup]) -> list[Host]:
        """A host for each setup, in order; those that nobody needs any more end and give their memory back."""
        free, chosen = list(self._hosts), []
        for setup in setups:
            same = next((host for host in free if host.setup.model == setup.model), None)
            if same is not None:
                free.remove(same)
            chosen.append(same or Host(setup))
        for host in free:
            host.close()
        self._hosts = chosen
        return list(chosen)

    def close(self) -> None:
        """End all."""
        for host in self._hosts:
            host.close()
        self._hosts = []
