"""Writes the rooms of README.md from the folders themselves: `python tools/readme_tree.py`.

A room's line is the first sentence of its `__init__`; `--check` only compares.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- tree -->", "<!-- /tree -->"
WIDTH = 100  # characters of a description
# Rooms that have no `__init__` to say what they are.
GIVEN = {
    ".ci": "what the build server runs: make check, make test",
    "benchmarks": "each prints a ratio against its yardstick in the same run; RESULTS.md is the latest run",
    "binder": "the nearest environment for mybinder.org",
    "data/requests": "sample chat requests, each a shape that has broken a template",
    "data/templates": "chat templates of well-known formats, and broken ones for teaching",
    "data/toolsmith": "the model that the project trained: weights, generator, training, held-out requests, card",
    "docs": "pictures",
    "docs/decisions": "what was decided, why, and what follows",
    "notebooks": "the six starter notebooks",
    "tests": "a folder for each room of the package, and browser, robust, project for what spans rooms",
    "tools": "set-up, the llama.cpp build, this tree",
    "workbench": "the values, the trace, and whatever is no room of its own",
    "workbench/engines/ollama_go": "Ollama's engine in Go, compiled at set-up",
    "workbench/widgets/js": "the pages' scripts",
}
FOLDED = ("tests/", "data/templates/broken")  # what lies below is of one kind


def main() -> int:
    """Rewrite the tree, or with `--check` say whether it is true."""
    page = ROOT / "README.md"
    text = page.read_text("utf-8")
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    lines = [f"{f'{room}/':<30} {describe(room)}".rstrip() for room in rooms()]
    fresh = f"{head}{START}\n```text\n" + "\n".join(lines) + f"\n```\n{END}{tail}"
    if "--check" in sys.argv[1:]:
        return int(fresh != text)
    page.write_text(fresh, "utf-8")
    return 0


def rooms() -> list[str]:
    """All folders with files of the project, tracked or about to be."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    folders = {str(Path(name).parent) for name in names if name and (ROOT / name).is_file()}
    folders |= {"tests"}
    return sorted(folder for folder in folders if folder != "." and not folder.startswith(FOLDED))


def describe(room: str) -> str:
    """What a room is, in one line. Errors: KeyError for one that does not say it."""
    if room in GIVEN:
        return GIVEN[room]
    init = ROOT / room / "__init__.py"
    return _short((ast.get_docstring(ast.parse(init.read_text("utf-8"))) or "").strip())


def _short(sentence: str) -> str:
    """The first sentence, cut at a colon or semicolon where it is long."""
    first = re.split(r"\n|(?<=\w)\.(?: |$)", sentence, maxsplit=1)[0].strip().rstrip(".")
    for mark in ("; ", ": "):
        if len(first) > WIDTH and mark in first[30:]:
            first = first.rpartition(mark)[0]
    return first if len(first) <= WIDTH else first[: WIDTH - 1].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    sys.exit(main())
