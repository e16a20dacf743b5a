"""`python -m workbench.proof`: proves the installed llama.cpp on this machine, and leaves out what fails from now on.

Exit codes: 0 it can be used, perhaps with something left out; 1 it cannot; 2 the proof could not be made.
"""

from __future__ import annotations

import argparse
import json
import sys

from workbench.errors import WorkbenchError, one_line
from workbench.proof.settle import settle


def main(arguments: list[str] | None = None) -> int:
    """The outcome in one line, or as JSON."""
    parser = argparse.ArgumentParser(prog="python -m workbench.proof", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="the outcome with every case, as one JSON object")
    parser.add_argument("--strict", action="store_true", help="a build that only works without extra buffers fails")
    options = parser.parse_args(arguments)
    try:
        settled = settle(strict=options.strict, progress=_progress)
    except WorkbenchError as error:
        print(f"workbench: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("workbench: stopped", file=sys.stderr)
        return 130
    print(json.dumps(settled.to_dict()) if options.json else settled.sentence)
    return 0 if settled.taken is not None else 1


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what}: {done} of {total}\033[K" if done < total else "\r\033[K")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
