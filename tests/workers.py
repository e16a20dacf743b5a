"""Workers beside each other: which tests one of them takes as a whole, and the processors that are its own."""

from __future__ import annotations

import os
from typing import Any

import pytest

FIRST = ("browser", "slow", "model")  # what takes longest begins first, so that no worker is left with it at the end


def pytest_configure(config: pytest.Config) -> None:
    """Give a worker its share of the processors, and with them one thread each on two.

    llama.cpp's threads wait for each other by spinning: two processes with two threads each on two processors take
    many times as long. A setup that names no number of threads takes as many as the process may use.
    """
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if hasattr(os, "sched_setaffinity"):
        usable = sorted(os.sched_getaffinity(0))
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        os.sched_setaffinity(0, usable[number % len(usable) :: count])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All browser tests are one worker's: one browser, one JupyterLab. The longest files begin."""
    for item in items:
        if "demo_model" in getattr(item, "fixturenames", ()):
            item.add_marker("model")
        if item.get_closest_marker("browser") and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("browser"))
    marked = {item.path: set[str]() for item in items}
    for item in items:
        marked[item.path] |= {mark.name for mark in item.iter_markers()}
    items.sort(key=lambda item: _rank(item, marked[item.path]))


def _rank(item: pytest.Item, marked: set[str]) -> int:
    """0 for what begins: a browser's tests, then those of a file with slow ones, then weights."""
    if item.get_closest_marker("browser"):
        return 0
    return next((rank for rank, name in enumerate(FIRST) if rank and name in marked), len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests go to one worker together, and so do those of a group."""
    from xdist.scheduler import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            group = super()._split_scope(nodeid)
            return nodeid.split("::", maxsplit=1)[0] if group == nodeid else group

        def remove_node(self, node: Any) -> str | None:
            """A test that ended its worker has failed; it does not end the next one too."""
            units = self.assigned_work[node].values()
            ended = next((test for unit in units for test, done in unit.items() if not done), None)
            for unit in units:
                unit.update({test: True for test in unit if test == ended})
            super().remove_node(node)
            return ended

    return ByFile(config, log) if config.getoption("dist") == "loadgroup" else None
