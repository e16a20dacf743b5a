"""Measures a file with `workbench.damage` and says which of toolsmith's aims it meets: python aims.py FILE.gguf."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from workbench import Setup
from workbench.damage import Damage, measure
from workbench.damage.tasks import KINDS

AIMS = {
    "exact calls": 0.97,
    "exact": 0.95,
    "code parses": 0.99,
    **{f"exact: {kind}": 0.90 for kind in KINDS},
}
SECONDS = 0.1  # a request


def table(found: Damage) -> list[str]:
    """The model card's table."""
    lines = ["| held-out requests | right | of | % | 95 % interval | aim |", "| --- | --- | --- | --- | --- | --- |"]
    for row in found.figures():
        value, low, high = row.estimate
        if row.right is None:
            lines.append(f"| {row.title} | | {row.n} | {value:.4f} nats a token | {low:.4f} to {high:.4f} | |")
            continue
        aim = f"{100 * AIMS[row.name]:.0f}" if row.name in AIMS else ""
        shares = f"{100 * value:.1f} | {100 * low:.1f} to {100 * high:.1f}"
        lines.append(f"| {row.title} | {row.right} | {row.n} | {shares} | {aim} |")
    return lines


def main() -> int:
    """Print the table; 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print")
    options = parser.parse_args()
    started = time.monotonic()
    found = measure(Setup(model=str(options.file)))
    seconds = (time.monotonic() - started) / len(found.outcomes)
    print("\n".join(table(found)))
    print(f"{seconds:.3f} s a request, its right answer scored too")
    missed = [name for name, aim in AIMS.items() if found.figure(name).estimate.value < aim]
    missed += [f"{SECONDS} s a request"] * (seconds > SECONDS)
    print(f"missed: {', '.join(missed)}" if missed else "every aim is met")
    for outcome in [one for one in found.outcomes if not one.facts.exact][: options.show]:
        print(f"--- {outcome.id}{' unseen' * outcome.unseen}: {outcome.answer!r} ({outcome.why or outcome.stop})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
