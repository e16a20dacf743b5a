"""Examine this machine and its packages: what works, what does not, and the command that mends it.

With `--against` the differences to another machine are listed by what they can change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.output import DONE, RESULT_IS_ERROR, Ticker, heading, print_json, print_lines, table
from workbench.values import clip

if TYPE_CHECKING:
    from workbench.doctor import Doctor

NAME = "doctor"
DETAIL_WIDTH = 300  # characters of a detail that the text output shows; --json has all
FACT_WIDTH = 60  # characters of a fact of one of two machines
EXAMPLES = """\
examples:
  workbench doctor
  workbench doctor --json > this-machine.json
  workbench doctor --against other-machine.json

exit codes: 0 all that is needed works; 1 something that is needed is broken, or the other machine differs in what
can change a result; 2 the other machine's file cannot be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "--against", metavar="OTHER.json", help="what `workbench doctor --json` printed on another machine"
    )


def run(arguments: argparse.Namespace) -> int:
    """Examine and print; 1 where something that is needed is broken, or a difference can change a result."""
    from workbench.doctor import doctor

    ticker = Ticker()
    try:
        found = doctor(Path(arguments.against) if arguments.against else None, progress=ticker)
    finally:
        ticker.clear()
    if arguments.json:
        print_json(found.to_dict())
    else:
        print_lines(describe(found))
    return RESULT_IS_ERROR if found.broken or found.apart else DONE


def describe(found: Doctor) -> Iterator[str]:
    """The verdict, a line for each check, the commands that mend, and what differs on the other machine."""
    yield f"{found.verdict}"
    yield from table([(check.verdict, check.name, clip(check.detail, DETAIL_WIDTH)) for check in found.checks])
    fixes = [(check.name, check.fix) for check in found.checks if check.verdict != "pass" and check.fix]
    if fixes:
        yield heading("To mend")
        yield from table(fixes)
    if found.differences is not None:
        yield from _differences(found.to_dict()["differences"])


def _differences(groups: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield heading("Against", "what differs on the other machine, by what it can change")
    for effect, rows in groups.items():
        yield f"{effect}: {len(rows) or 'none'}"
        yield from table(
            [(row["name"], _fact(row["here"]), "there:", _fact(row["there"])) for row in rows], indent="    "
        )


def _fact(value: Any) -> str:
    text = value if isinstance(value, str) else "-" if value is None else json.dumps(value, ensure_ascii=False)
    return clip(text, FACT_WIDTH)
