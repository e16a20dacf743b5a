"""What the commands print: one JSON object, or text in which nothing can steer a terminal; progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.errors import one_line
from workbench.nesting import write_json
from workbench.values import SCHEMA_VERSION, finite

DONE, RESULT_IS_ERROR, CANNOT_RUN = 0, 1, 2
INTERRUPTED = 130  # as shells write "ended by SIGINT"
PIPE_CLOSED = 141  # as shells write "ended by SIGPIPE"
INTERVAL_S = 0.1  # between two progress messages
SHOWN_CHARACTERS, SHOWN_LINES = 16_000, 400  # of a text
SHOWN_ROWS = 60  # of a list


def print_json(facts: dict[str, Any]) -> None:
    """The one JSON object of a command, `schema_version` first. NaN and infinities become null."""
    print(write_json({"schema_version": SCHEMA_VERSION} | finite(facts), allow_nan=False))


def print_lines(lines: Iterable[str]) -> None:
    """Lines of text; control characters, also those that turn the writing direction, stand as escapes."""
    for line in lines:
        print(one_line(line))


def heading(title: str, facts: str = "", elapsed_ms: float | None = None) -> str:
    """A section's first line: its title, what it holds, how long it took."""
    took = f"  [{elapsed_ms:,.1f} ms]" if elapsed_ms is not None else ""
    return f"{title:<11} {facts}{took}".rstrip()


def block(text: str) -> list[str]:
    """A text as it stands, each of its lines behind a bar, so that its first and last white space show.

    Of a long one its beginning and its end, with the number of characters between them.
    """
    head, tail = _ends(text)
    if head + tail >= len(text):
        return [f"  │{line}" for line in text.split("\n")]
    left = f"  … {len(text) - head - tail:,} characters between, not shown; --json has them all"
    return [*block(text[:head]), left, *block(text[len(text) - tail :])]


def _ends(text: str) -> tuple[int, int]:
    """How many characters are shown of a text's beginning and of its end: all, where that is not too much."""
    if len(text) <= SHOWN_CHARACTERS and text.count("\n") <= SHOWN_LINES:
        return len(text), 0
    head, tail = text[: SHOWN_CHARACTERS * 3 // 4], text[-SHOWN_CHARACTERS // 4 :]
    first = "\n".join(head.split("\n")[: SHOWN_LINES * 3 // 4])
    last = "\n".join(tail.split("\n")[-SHOWN_LINES // 4 :])
    return len(first), len(last)


def some(lines: Sequence[str], what: str) -> list[str]:
    """The first of many lines, and how many more there are."""
    more = len(lines) - SHOWN_ROWS
    return [*lines[:SHOWN_ROWS], *([f"  … {more:,} more {what}; --json has them all"] if more > 0 else [])]


def table(rows: list[tuple[Any, ...]], *, indent: str = "  ") -> list[str]:
    """Rows as aligned columns; a column that holds numbers stands to the right."""
    cells = [[one_line(_cell(value)) for value in row] for row in rows]
    places = []
    for column in range(len(rows[0]) if rows else 0):
        numeric = any(isinstance(row[column], int | float) and not isinstance(row[column], bool) for row in rows)
        places.append((">" if numeric else "<", max(len(row[column]) for row in cells)))
    return [
        (indent + "  ".join(f"{text:{side}{width}}" for text, (side, width) in zip(row, places, strict=True))).rstrip()
        for row in cells
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.3f}".replace("-0.000", "0.000")
    return str(value)


class Ticker:
    """Progress on stderr: a line that changes in place on a terminal, otherwise nothing, so that logs stay short."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown_at = 0.0

    def __call__(self, operation: str, done: int, total: int) -> None:
        """Show how far an operation is."""
        now = time.monotonic()
        if not self._terminal or now - self._shown_at < INTERVAL_S:
            return
        self._shown_at = now
        share = f" {done / total:4.0%}" if total else ""
        sys.stderr.write(f"\r\033[K{one_line(operation)}{share}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._terminal and self._shown_at:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
