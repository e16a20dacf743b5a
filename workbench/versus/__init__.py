"""One request under two setups, each loaded in a process of its own: answers, speed, memory, and where they part."""

from __future__ import annotations

from workbench.versus.result import Parting, Side, Versus
from workbench.versus.run import versus

__all__ = ["Parting", "Side", "Versus", "versus"]
