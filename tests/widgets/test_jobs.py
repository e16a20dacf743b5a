"""The explorer's worker: the latest request wins, an older one is cancelled, a failure is reported."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from workbench.widgets.jobs import Worker


@pytest.fixture
def worker():
    failures = []
    running: Any = Worker("test", failures.append)
    running.failures = failures
    yield running
    running.close()


def test_the_latest_request_wins(worker):
    started, done = threading.Event(), []

    def long(cancel):
        started.set()
        done.append(("long", cancel.wait(5)))

    worker.post(long)
    assert started.wait(5)
    worker.post(lambda _: done.append("forgotten"))
    worker.post(lambda _: done.append("last"))
    assert worker.wait(5)
    assert done[0] == ("long", True)
    assert done[-1] == "last"
    assert len(done) <= 3  # the one in between may have begun before the last was posted


def test_cancel_stops_what_runs_and_what_waits(worker):
    started, done = threading.Event(), []

    def long(cancel):
        started.set()
        done.append(cancel.wait(5))

    worker.post(long)
    assert started.wait(5)
    worker.cancel()
    assert worker.wait(5)
    assert done == [True]


def test_a_failure_is_reported_and_the_next_work_runs(worker):
    done = []

    def broken(_cancel):
        raise ValueError("luck")

    worker.post(broken)
    assert worker.wait(5)
    worker.post(lambda _: done.append(1))
    assert worker.wait(5)
    assert [str(f) for f in worker.failures] == ["luck"]
    assert done == [1]


def test_closing_ends_the_thread():
    before = threading.active_count()
    worker = Worker("test", lambda _: None)
    worker.post(lambda cancel: cancel.wait(10))
    worker.close()
    assert threading.active_count() == before
