"""`python -m workbench.ollama_engine`: compile the engine `ollama` once, where it is not there yet.

With `--there` it only says whether it is, by its exit code.
"""

from __future__ import annotations

import sys

from workbench.engines.ollama_build import build, module_path
from workbench.errors import CannotRun


def main() -> int:
    """0 where the engine is there in the end; else 1, and one line that says why."""
    if "--there" in sys.argv:
        return 0 if module_path().exists() else 1
    try:
        build()
    except CannotRun as error:
        print(f"ollama: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
