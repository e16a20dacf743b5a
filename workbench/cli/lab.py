"""Start JupyterLab on a copy of the starter notebooks.

A notebook that you changed is never overwritten.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from workbench.aside import aside, remove_abandoned
from workbench.bounded import json_of, read_kept
from workbench.cli.output import print_json
from workbench.errors import BadFile, CannotRun
from workbench.schema import fault

NAME = "lab"
FOLDER = "gguf-workbench"  # in the user's home
RECORD = ".workbench.json"  # in the folder: the hash of each notebook as it was copied
EXAMPLES = """\
examples:
  workbench lab
  workbench lab ~/notebooks
  workbench lab -- --no-browser --port 9000     (what stands behind -- goes to JupyterLab)
"""


class Copied(NamedTuple):
    """What happened to the starter notebooks, by name."""

    fresh: tuple[str, ...]
    kept: tuple[str, ...]
    first: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", help=f"where the copy lies (default: ~/{FOLDER})")
    parser.add_argument("--copy-only", action="store_true", help="copy the notebooks, do not start JupyterLab")
    parser.set_defaults(behind=[])


def run(arguments: argparse.Namespace) -> int:
    """Copy what is new, then become JupyterLab. Returns only where it is not to be started, or has ended."""
    folder = Path(arguments.folder).expanduser() if arguments.folder else Path.home() / FOLDER
    command = [] if arguments.copy_only else jupyter_command(arguments.behind)
    copied = copy_notebooks(folder)
    facts = {"folder": str(folder), "copied": list(copied.fresh), "kept": list(copied.kept), "notebook": copied.first}
    if arguments.json:
        print_json(facts | {"command": command})
        sys.stdout.flush()
    for name in copied.kept:
        print(f"workbench: kept your {name}; delete or rename it to get the shipped one", file=sys.stderr)
    print(f"workbench: the notebooks are in {folder}", file=sys.stderr)
    return start(command, folder, copied.first) if command else 0


def jupyter_command(options: list[str]) -> list[str]:
    """JupyterLab of this Python. Errors: `CannotRun` where it is not installed."""
    for module in ("jupyterlab", "ipywidgets", "anywidget"):
        if importlib.util.find_spec(module) is None:
            raise CannotRun(
                f"{module} is not installed beside this workbench ({sys.executable})",
                "the notebooks need the extra lab",
                'run: pip install "gguf-workbench[lab]"',
            )
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [sys.executable, "-m", "jupyterlab", *root, *options]


def copy_notebooks(folder: Path) -> Copied:
    """Bring the shipped notebooks to `folder`: new ones and unchanged old ones; those that were changed stay.

    Errors: `BadFile` where the folder cannot be written.
    """
    from workbench.data import notebooks

    fresh, kept, names = [], [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = _read_record(folder)
        for source in sorted(notebooks().glob("*.ipynb")):
            content, target = source.read_bytes(), folder / source.name
            names.append(source.name)
            if not target.exists() or _digest(target.read_bytes()) == record.get(source.name, ""):
                record[source.name] = _digest(content)
                if not target.exists() or target.read_bytes() != content:
                    _write(target, content)
                    fresh.append(source.name)
            elif target.read_bytes() != content:
                kept.append(source.name)
        _write(folder / RECORD, json.dumps(record, indent=1).encode())
    except OSError as error:
        raise BadFile(
            f"the notebooks cannot be copied to {folder}: {error.strerror or error}",
            "accepted is a folder that you may write to",
            "name another one: workbench lab DIR",
        ) from error
    return Copied(tuple(fresh), tuple(kept), names[0] if names else None)


def start(command: list[str], folder: Path, notebook: str | None) -> int:
    """Become JupyterLab in `folder`, opened on the first notebook; all its output goes to stderr.

    Returns only on Windows, which has no exec that keeps the terminal.
    """
    if notebook:
        command = [*command, f"--LabApp.default_url=/lab/tree/{notebook}"]
    print("workbench: starting JupyterLab; end it with Ctrl-C", file=sys.stderr, flush=True)
    if os.name != "nt":
        os.chdir(folder)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        os.execv(command[0], command)  # noqa: S606  # signals and the exit code are JupyterLab's own this way
    return min(subprocess.call(command, cwd=folder, stdout=sys.stderr), 1)


def _read_record(folder: Path) -> dict[str, str]:
    try:
        record: dict[str, str] = json_of(read_kept(folder / RECORD))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if fault(record, dict[str, str]) is None else {}


def _write(path: Path, content: bytes) -> None:
    remove_abandoned(path.parent)
    with aside(path) as part:
        part.write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
