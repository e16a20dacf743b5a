"""Writes the file tree of README.md from the files themselves: `python tools/readme_tree.py`.

A file's line is the first sentence of its docstring or leading comment; `--check` only compares.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- tree -->", "<!-- /tree -->"
WIDTH = 100  # characters of a description
# Files that cannot say what they are, and folders whose files are all of one kind.
GIVEN = {
    ".ci/run": "what the build server runs: make check, make test",
    ".gitignore": "what is never committed",
    "CHANGELOG.md": "one sentence for every change that a user sees",
    "CONTRIBUTING.md": "how to work on it",
    "LICENSE": "MIT",
    "Makefile": "setup, lab, test, check, bench, notebooks, toolsmith, clean",
    "README.md": "this page",
    "benchmarks/RESULTS.md": "what the benchmarks printed, and on what machine",
    "binder/README.md": "how Binder's environment differs, and what could not be tried",
    "binder/environment.yml": "the nearest environment for mybinder.org",
    "binder/postBuild": "installs the package and the demo model there",
    "constraints.txt": "the exact versions that the tests ran with",
    "data/requests/": "sample chat requests, each a shape that has broken a template",
    "data/templates/": "chat templates of well-known formats, and broken ones for teaching",
    "workbench/engines/ollama_go/go.mod": "the Go module; it needs the standard library only",
    "data/toolsmith/default.jinja": "the chat template for plain talk, which knows nothing of tools",
    "data/toolsmith/tokenizer.json": "the trained tokenizer",
    "data/toolsmith/tool_use.jinja": "the chat template for tools, calls and their results",
    "data/toolsmith/held_out.jsonl": "the 500 held-out requests with their right answers",
    "data/toolsmith/toolsmith-f16.gguf": "the model",
    "docs/": "pictures",
    "tests/__init__.py": "lets tests import their neighbours",
    "pyproject.toml": "the package, its extras, and every check's settings with its reasons",
    "workbench/py.typed": "tells type checkers that the package is typed",
}
FOLDED = ("data/requests/", "data/templates/", "docs/")


def main() -> int:
    """Rewrite the tree, or with `--check` say whether it is true."""
    page = ROOT / "README.md"
    text = page.read_text("utf-8")
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    fresh = f"{head}{START}\n```text\n" + "\n".join(tree(files())) + f"\n```\n{END}{tail}"
    if "--check" in sys.argv[1:]:
        return int(fresh != text)
    page.write_text(fresh, "utf-8")
    return 0


def files() -> list[str]:
    """All files of the project, tracked or about to be, folders of one kind folded into one entry."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    names = [name for name in names if name and (ROOT / name).is_file()]
    folded = {next((fold for fold in FOLDED if name.startswith(fold)), name) for name in names}
    return sorted(folded, key=lambda name: [(part.endswith("/"), part) for part in _parts(name)])


def tree(names: list[str]) -> list[str]:
    """One line a file, folders as headings, descriptions in one column for each folder."""
    lines: list[str] = []
    shown: list[str] = []
    for name in names:
        *folders, leaf = _parts(name)
        for depth, folder in enumerate(folders):
            if folders[: depth + 1] != shown[: depth + 1]:
                shown = folders[: depth + 1]
                lines.append(f"{'  ' * depth}{folder}")
        shown = folders
        indent = "  " * len(folders)
        lines.append(f"{indent}{leaf:<{max(30 - len(indent), len(leaf))}} {describe(name)}".rstrip())
    return lines


def describe(name: str) -> str:
    """What a file is, in one line."""
    path = ROOT / name
    if name in GIVEN:
        return GIVEN[name]
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        sentence = (ast.get_docstring(ast.parse(text)) or "").strip()
    elif path.suffix == ".ipynb":
        sentence = "".join(json.loads(text)["cells"][0]["source"]).lstrip("# ")
    else:
        found = re.match(r"\s*(?:/\*+|//|#)\s*(.+)", text)
        sentence = found[1].removesuffix("*/") if found else ""
    return _short(sentence)


def _short(sentence: str) -> str:
    """The first sentence, cut at a colon or semicolon where it is long."""
    first = re.split(r"\n|(?<=\w)\.(?: |$)", sentence, maxsplit=1)[0].strip().rstrip(".")
    for mark in ("; ", ": "):
        if len(first) > WIDTH and mark in first[30:]:
            first = first.rpartition(mark)[0]
    return first if len(first) <= WIDTH else first[: WIDTH - 1].rsplit(" ", 1)[0] + " …"


def _parts(name: str) -> list[str]:
    """`a/b/c.py` as `a/`, `b/`, `c.py`; a folded folder keeps its slash as the last part."""
    return re.findall(r"[^/]+/|[^/]+$", name)


if __name__ == "__main__":
    sys.exit(main())
