"""Files and JSON that were written by anybody: read only where they are no larger than they may be.

Python's values take many times the room of the text that they stand in: `[],[],` has three bytes a value and takes
seventy. So the values are counted in the text before any is made.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

from workbench.nesting import read_json

MOST_VALUES = 1 << 25  # in one JSON text: some two gigabytes in Python
MOST_KEPT = 1 << 20  # bytes of a small file that is read back, such as one measured result
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class TooLarge(ValueError):
    """More bytes or values than are accepted: the end of a sentence."""


def read_kept(path: Path, most: int = MOST_KEPT) -> bytes:
    """All bytes of a regular file. Errors: `OSError`; `ValueError` for what is no file, `TooLarge`."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        content = file.read(min(state.st_size, most) + 1)
    require_size(max(state.st_size, len(content)), most)
    return content


def require_size(size: int, most: int) -> None:
    """Errors: `TooLarge` for more than `most` bytes."""
    if size > most:
        raise TooLarge(f"it has {size:,} bytes, and {most:,} are accepted")


def json_of(text: str | bytes, **options: Any) -> Any:
    """`json.loads`, for a text of no more than `MOST_VALUES` values.

    Errors: its own; `TooLarge`; `ValueError` for a text that is no UTF-8, `RecursionError` for what is too deep.
    """
    plain = text if isinstance(text, str) else text.decode("utf-8")
    require_few(plain)
    return read_json(plain, **options)


def require_few(text: str) -> None:
    """Errors: `TooLarge` where a JSON text holds more than `MOST_VALUES` values."""
    count = _marks(text)
    if count > MOST_VALUES:
        count = _marks(STRING.sub("", text))  # those inside of texts are none
    if count > MOST_VALUES:
        raise TooLarge(f"it holds {count:,} values, and {MOST_VALUES:,} are accepted")


def _marks(text: str) -> int:
    """No fewer than the values of a JSON text, and no more than twice as many."""
    return text.count(",") + text.count("[") + text.count("{") + 1
