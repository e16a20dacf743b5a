"""No test is skipped unseen: a reason that is not in skips.toml makes the test a failed one."""

from __future__ import annotations

import tomllib
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

LEDGER = Path(__file__).with_name("skips.toml")


class NoReason(Exception):
    """An entry of the ledger that does not say why, or when it goes."""


def allowed(ledger: Path = LEDGER) -> list[str]:
    """The reasons that may be given, `*` for what differs. Errors: `NoReason`."""
    entries = tomllib.loads(ledger.read_text("utf-8")).get("skip", [])
    for entry in entries:
        if not entry.get("reason") or not entry.get("goes_when"):
            raise NoReason(f"{ledger.name}: {entry} needs a reason and goes_when")
    return [entry["reason"] for entry in entries]


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip for a reason that is not in the ledger into a failure that says so."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = told.removeprefix("Skipped: ")
    if any(fnmatchcase(reason, pattern) for pattern in allowed()):
        return
    report.outcome = "failed"
    report.longrepr = f"skipped for a reason that tests/{LEDGER.name} does not list: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge each test."""
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge each file: one can be skipped as a whole."""
    report = yield
    judge(report)
    return report
