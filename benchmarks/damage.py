"""The usual faults, each on toolsmith's 500 held-out requests, paired with the healthy setup.

Run `python benchmarks/damage.py [--requests N] [--only NAME ...]`. Prints a table of its own: how many right
answers and right calls each fault costs, and what it does to the likelihood of the right answers.
"""

from __future__ import annotations

import argparse
import sys
import time

from workbench.damage import Paired, measure
from workbench.damage.faults import FAULTS, LADDER, healthy
from workbench.errors import WorkbenchError

AIM_FAULTS, AIM_LAYERS = 15, 6
HEAD = (
    "| Fault | Layer | Right answers % | Lost | Won | p | Right calls % | Nats an answer | p |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these faults alone; the aims are not judged")
    options = parser.parse_args()
    started = time.monotonic()
    well = measure(healthy(), requests=options.requests)
    print("\n".join(HEAD))
    print(row("healthy", "–", well.against(well)), flush=True)
    again = well.against(measure(healthy(), requests=options.requests))
    print(row("healthy, once more", "–", again), flush=True)
    felt: dict[str, str] = {}
    ladder: list[tuple[str, Paired]] = []
    for fault in FAULTS:
        if options.only and fault.name not in options.only:
            continue
        try:
            paired = well.against(measure(fault.setup(healthy()), requests=options.requests))
        except WorkbenchError as error:
            print(f"| {fault.name}: {fault.title} | {fault.layer} | not evaluated: {error} | | | | | | |", flush=True)
            continue
        print(row(f"{fault.name}: {fault.title}", fault.layer, paired), flush=True)
        if fault.name in LADDER:
            ladder.append((fault.name, paired))
        change = paired.change("exact")
        if change.significant and change.difference.value < 0:
            felt[fault.name] = fault.layer
    return 0 if options.only else verdict(felt, ladder, again, time.monotonic() - started)


def row(name: str, layer: str, paired: Paired) -> str:
    """One line of the table."""
    exact, calls, nats = (paired.change(figure) for figure in ("exact", "exact calls", "nats per answer"))
    shares = f"{100 * exact.after:.1f} | {exact.only_before} | {exact.only_after} | {p_of(exact.p)}"
    likelihood = f"{nats.after:.3f} | {p_of(nats.p)}" if nats.n > 1 else "not scored | –"
    name = name.replace("|", "\\|")
    return f"| {name} | {layer} | {shares} | {100 * calls.after:.1f} | {likelihood} |"


def p_of(p: float) -> str:
    """A p-value for a table; those that count stand out."""
    return f"**{p:.1g}**" if p < 0.01 else f"{p:.2g}"


def verdict(felt: dict[str, str], ladder: list[tuple[str, Paired]], again: Paired, seconds: float) -> int:
    """Say whether the aims are met; 1 where one is not."""
    layers = sorted(set(felt.values()))
    print(f"\nfaults that cost right answers (p < 0.01): {len(felt)}, over {len(layers)} layers: {', '.join(layers)}")
    untouched = [fault.name for fault in FAULTS if fault.name not in felt]
    print(f"no significant loss of right answers: {', '.join(untouched)}")
    rising = [f"{name} {paired.change('nats per answer').after:.4f}" for name, paired in ladder]
    print(f"nats a right answer down the ladder: {', '.join(rising)}")
    same = not any(change.only_before or change.only_after for change in again.changes())
    print(f"the healthy setup measured twice: {'the same answers' if same else 'other answers'}")
    print(f"{seconds:.0f} s for {len(FAULTS) + 2} setups")
    return 0 if len(felt) >= AIM_FAULTS and len(layers) >= AIM_LAYERS and same else 1


if __name__ == "__main__":
    sys.exit(main())
