"""Runs the benchmarks one after another and writes what they print to RESULTS.md.

A benchmark is a program in this folder that prints table rows (`| what | measured | aim |`, or rows under a
head of its own) and ends with 1 where an aim is missed. With names as arguments only those run, and nothing
is written.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"


class Result(NamedTuple):
    """One benchmark's name, exit code, output and wall time."""

    name: str
    code: int
    output: str
    seconds: float


def main(names: list[str]) -> int:
    programs = sorted(path for path in HERE.glob("*.py") if path.name != "run.py")
    if unknown := set(names) - {path.stem for path in programs}:
        accepted = ", ".join(path.stem for path in programs)
        print(f"bench: no benchmark {', '.join(sorted(unknown))}; accepted are {accepted}", file=sys.stderr)
        return 2
    results = [measure(path) for path in programs if not names or path.stem in names]
    if not names:
        RESULTS.write_text("\n".join([*head(), *(line for result in results for line in section(result))]) + "\n")
        print(f"bench: wrote {RESULTS.relative_to(HERE.parent)}", file=sys.stderr)
    return max((min(result.code, 1) for result in results), default=0)


def measure(program: Path) -> Result:
    """Run one benchmark; its output is shown while it runs."""
    print(f"bench: {program.stem}", file=sys.stderr, flush=True)
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return Result(program.stem, process.returncode, "".join(lines).rstrip(), time.perf_counter() - started)


def head() -> list[str]:
    """The page's head: how to get it again, when and on what it was measured. No path, no host name."""
    packages = ("llama-cpp-python", "jinja2", "numpy", "jupyterlab", "plotly")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each table is what one program in this folder printed.",
        "",
        f"- Date: {dt.datetime.now(dt.UTC):%Y-%m-%d}",
        f"- Machine: {cpu()}, {os.cpu_count()} processors, {memory_gib:.0f} GiB, {platform.system()}, no GPU used",
        f"- Python {platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in packages),
        "",
    ]


def section(result: Result) -> list[str]:
    """One benchmark's part of the page."""
    rows = [line for line in result.output.splitlines() if line.startswith("|")]
    own_head = len(rows) > 1 and set(rows[1]) <= set("| -")  # a table of another shape brings its head
    notes = [line for line in result.output.splitlines() if line and not line.startswith("|")]
    verdict = "all aims met" if result.code == 0 else "an aim was missed" if result.code == 1 else "it did not run"
    head = [] if own_head else ["| What | Measured | Aim |", "| --- | --- | --- |"]
    table = [*head, *rows, ""] if rows else []
    notes = ["```text", *notes, "```", ""] if notes else []
    return [f"## {result.name}", "", f"`python benchmarks/{result.name}.py`: {verdict}.", "", *table, *notes]


def cpu() -> str:
    """The processor's own name."""
    sys.path.insert(0, str(HERE.parent))
    from workbench.cpu import cpu_name

    return cpu_name()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
