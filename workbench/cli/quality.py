"""Measure how far models are from a base on a text: KL divergence, same first place, perplexity.

The statistics of `llama-perplexity --kl-divergence`, without its file of logits.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.output import DONE, Ticker, heading, print_json, print_lines, table
from workbench.cli.stack import setup_file
from workbench.data import model_path
from workbench.setup import Setup

if TYPE_CHECKING:
    from workbench.quality import Figure, Quality

NAME = "quality"
EXAMPLES = """\
examples:
  workbench quality model-F16.gguf model-Q4_K_M.gguf model-Q8_0.gguf --text book.txt
  workbench quality model-F16.gguf small-kv-cache.json --text book.txt --json > quality.json

A candidate that ends in .json is a setup file: the same weights can be measured with other KV-cache types.
What was interrupted goes on where it was when the same command is given again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    kinds = "a GGUF file, or a setup file (JSON)"
    parser.add_argument("base", metavar="BASE", help=f"what the others are held against: {kinds}")
    parser.add_argument("candidates", metavar="CANDIDATE", nargs="+", help=kinds)
    parser.add_argument("--text", metavar="FILE", required=True, help="UTF-8 text of two chunks or more")
    parser.add_argument(
        "--n-ctx", metavar="N", type=int, default=512, help="tokens of a chunk; its second half is compared (512)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; there is no threshold, so what could be measured is exit code 0."""
    from workbench.quality import measure

    base, *candidates = (_setup(given) for given in (arguments.base, *arguments.candidates))
    ticker = Ticker()
    try:
        found = measure(base, candidates, Path(arguments.text), n_ctx=arguments.n_ctx, progress=ticker)
    finally:
        ticker.clear()
    print_json(found.to_dict()) if arguments.json else print_lines(describe(found))
    return DONE


def _setup(given: str) -> Setup:
    return setup_file(given) if given.endswith(".json") else Setup(model=model_path(given))


def describe(found: Quality) -> list[str]:
    """The figures as aligned text, a column for each candidate."""
    from workbench.quality import KINDS

    base = Path(str(found.base.model)).name
    lines = [
        heading("Base", base),
        heading("Text", f"{found.chunks:,} chunks of {found.n_ctx:,} tokens, {found.positions:,} positions compared"),
    ]
    if found.resumed:
        lines.append(heading("", f"{found.resumed:,} chunks were measured before"))
    for name, candidate in zip(found.names, found.candidates, strict=True):
        lines.append(heading("Candidate", name))
        lines += table([_row(kind.title, candidate.figure(kind.name), kind.unit) for kind in KINDS])
    return lines + [f"  note: {note}" for note in found.notes]


def _row(title: str, figure: Figure, unit: str) -> tuple[Any, ...]:
    digits = 6 if unit == "nats" else 4
    spread = f"± {figure.uncertainty:.{digits}f}" if figure.uncertainty is not None else ""
    return title, f"{figure.value:.{digits}f}", spread, unit
