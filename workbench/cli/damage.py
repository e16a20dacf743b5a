"""Count what a setup does to toolsmith's 500 held-out requests: right calls, right answers, their likelihood.

Without arguments it measures toolsmith as shipped; with `--against` two setups on the same requests.
"""

from __future__ import annotations

import argparse
import collections
import math
from typing import TYPE_CHECKING, Any

from workbench.cli.output import DONE, RESULT_IS_ERROR, Ticker, heading, print_json, print_lines, table
from workbench.cli.stack import setup_file
from workbench.data import model_path
from workbench.errors import BadRequest
from workbench.setup import Setup

if TYPE_CHECKING:
    from workbench.damage import Damage, Paired

NAME = "damage"
MOST_REASONS = 5
EXAMPLES = """\
examples:
  workbench damage
  workbench damage --setup low_bits.json --requests 100
  workbench damage --against low_bits.json --json > damage.json

With --against, exit code 1 says that the right answers differ (McNemar's exact test, p < 0.01).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "--model", metavar="M", help="a GGUF file that speaks toolsmith's format; without it, toolsmith"
    )
    parser.add_argument("--setup", metavar="S", help="a setup file; its model may be left out")
    parser.add_argument(
        "--against",
        metavar="S",
        help="a second setup file, measured on the same requests; without a model of its own, with the first one's",
    )
    parser.add_argument(
        "--requests", metavar="N", type=int, help="N of the 500 requests, each kind in proportion; else all"
    )
    parser.add_argument("--hosts", metavar="N", type=int, help="processes that share the work; else one a processor")


def run(arguments: argparse.Namespace) -> int:
    """Measure one setup, or two; 1 where two differ."""
    from workbench.damage import measure

    if arguments.model is not None and arguments.setup is not None:
        raise BadRequest("both --model and --setup were given", "accepted is one of them", 'a setup has a key "model"')
    setup = _setup(arguments.setup, arguments.model)
    other = _setup(arguments.against, setup.model) if arguments.against is not None else None
    ticker = Ticker()
    try:
        measured = [
            measure(one, requests=arguments.requests, hosts=arguments.hosts, progress=ticker)
            for one in (setup, other)
            if one is not None
        ]
    finally:
        ticker.clear()
    if len(measured) == 1:
        print_json(measured[0].to_dict()) if arguments.json else print_lines(describe(measured[0]))
        return DONE
    paired = measured[0].against(measured[1])
    print_json(paired.to_dict()) if arguments.json else print_lines(describe_paired(paired))
    return RESULT_IS_ERROR if paired.change("exact").significant else DONE


def _setup(path: str | None, model: str | None) -> Setup:
    setup = setup_file(path) if path is not None else Setup()
    return setup.replace(model=model_path(model)) if model is not None and setup.model is None else setup


def describe(damage: Damage) -> list[str]:
    """The figures as aligned text."""
    rows: list[tuple[Any, ...]] = [("", "right", "of", "measured", "95 % interval")]
    for row in damage.figures():
        value, low, high = row.estimate
        if math.isnan(value):
            rows.append((row.title, "-", str(row.n), "-", "not evaluated: too few requests"))
        elif row.right is None:
            rows.append((row.title, "", str(row.n), f"{value:.4f}", f"{low:.4f} to {high:.4f} nats per token"))
        else:
            rows.append(
                (
                    row.title,
                    str(row.right),
                    str(row.n),
                    f"{100 * value:.1f} %",
                    f"{100 * low:.1f} % to {100 * high:.1f} %",
                )
            )
    first = heading("Damage", f"{len(damage.outcomes)} held-out requests, {damage.setup!r}")
    return [first, *table(rows), *_remarks(damage)]


def _remarks(damage: Damage) -> list[str]:
    """The notes, and why requests were not answered, each reason with their number."""
    reasons = collections.Counter(outcome.why for outcome in damage.outcomes if outcome.why)
    whys = [f"  {count} not answered: {why}" for why, count in reasons.most_common(MOST_REASONS)]
    if len(reasons) > MOST_REASONS:
        whys.append(f"  … {len(reasons) - MOST_REASONS} more reasons; --json has them all")
    return [*whys, *(f"  note: {note}" for note in damage.notes)]


def describe_paired(paired: Paired) -> list[str]:
    """The changes as aligned text."""
    rows: list[tuple[Any, ...]] = [("", "of", "before", "after", "difference", "lost", "won", "p")]
    for change in paired.changes():
        if not change.n:
            rows.append((change.title, "0", *["-"] * 6))
            continue
        is_share = change.only_before is not None
        numbers = (change.before, change.after)
        before, after = (_cell(100 * x, ".1f", " %") if is_share else _cell(x, ".4f") for x in numbers)
        gap = change.difference.value
        gap_words = _cell(100 * gap, "+.1f", " points") if is_share else _cell(gap, "+.4f")
        lost, won = (str(change.only_before), str(change.only_after)) if is_share else ("", "")
        rows.append((change.title, str(change.n), before, after, gap_words, lost, won, _cell(change.p, ".2g")))
    changed = [f"  {name}: {a!r} -> {b!r}" for name, (a, b) in paired.before.setup.diff(paired.after.setup).items()]
    first = heading("Damage", f"{len(paired.before.outcomes)} held-out requests under both setups")
    remarks = [
        f"{name}:{line}" for name, one in (("before", paired.before), ("after", paired.after)) for line in _remarks(one)
    ]
    return [first, *changed, *table(rows), *remarks]


def _cell(value: float, form: str, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"
