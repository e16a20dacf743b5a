"""Where things lie: the cache, the demo model, a user's own GGUF files, sample requests, starter notebooks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.errors import BadFile, BadRequest

DEMO_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_MAGIC = b"GGUF"
PINS = "constraints.txt"
MAX_ENTRIES = 200_000  # files and folders that `find_models` looks at before it asks for a narrower folder
LATER_SHARD = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


def cache_dir() -> Path:
    """`$GGUF_WORKBENCH_CACHE`, else `$XDG_CACHE_HOME/gguf-workbench`, else `~/.cache/gguf-workbench`; not made here."""
    if own := os.environ.get("GGUF_WORKBENCH_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "gguf-workbench"
    return Path.home() / ".cache" / "gguf-workbench"


def demo_model() -> Path:
    """The demo model's path: SmolLM2-135M-Instruct, Q4_1, 98 MB. Errors: `BadFile` with how to get it."""
    path = cache_dir() / "models" / DEMO_MODEL
    if not _is_gguf(path):
        raise BadFile(
            f"the demo model is not at {path}",
            "expected is the file that set-up puts there",
            "run `make setup`, or `python -m workbench.demo_model` where the package is installed",
        )
    return path


def toolsmith() -> Path:
    """The small model that this project trains and ships (F16, 7 MB): made to be damaged and measured."""
    return _shipped_file("toolsmith-f16.gguf")


def model_path(given: str) -> str:
    """A model's path as given; a name of `NAMED` is that model's unless a file has the name. Errors: `BadFile`."""
    if given in NAMED and not os.path.isfile(given):  # noqa: PTH113  # Path.is_file raises for a name that is too long
        return str(NAMED[given]())
    return given


def held_out_file() -> Path:
    """Toolsmith's held-out requests, one JSON object a line; `workbench.damage.tasks()` reads them."""
    return _shipped_file("held_out.jsonl")


# The models that come along, by the names that stand for a path.
NAMED: dict[str, Callable[[], Path]] = {"demo": demo_model, "toolsmith": toolsmith}


def find_models(*folders: str | Path) -> list[Path]:
    """The GGUF files in and below `folders`, by content, sorted; of a split model only its first part.

    Without folders: the cache and those in `$GGUF_WORKBENCH_MODELS` (separated as in `$PATH`). Finds
    `*.gguf` and Ollama's `sha256-*` blobs. Errors: `BadFile` for a folder that cannot be read,
    `BadRequest` for one with more than `MAX_ENTRIES` entries.
    """
    found: dict[Path, Path] = {}
    for folder in [Path(folder).expanduser() for folder in folders] or _usual_folders():
        for path in _model_files(folder):
            if _is_gguf(path):
                found.setdefault(path.resolve(), path)
    return sorted(found.values())


def requests() -> dict[str, Path]:
    """The sample chat requests: name -> path of a JSON file."""
    return {path.stem: path for path in sorted(_shipped("requests", "data/requests").glob("*.json"))}


def templates() -> dict[str, Path]:
    """The templates of well-known chat formats, broken ones as `broken/NAME`: name -> path of a Jinja file."""
    folder = _shipped("templates", "data/templates")
    return {str(path.relative_to(folder).with_suffix("")): path for path in sorted(folder.rglob("*.jinja"))}


def constraints() -> Path:
    """The file with the exact versions that the tests ran with. Errors: `BadFile`."""
    package = Path(__file__).parent
    places = (package / "shipped" / PINS, package.parent / PINS)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise BadFile(f"no file at {places[0]}", "expected what the package ships", "install gguf-workbench again")
    return found


def notebooks() -> Path:
    """The folder with the starter notebooks as shipped: read it, copy it, do not write to it."""
    return _shipped("notebooks", "notebooks")


def _shipped_file(name: str) -> Path:
    path = _shipped("toolsmith", "data/toolsmith") / name
    if not path.is_file():
        raise BadFile(f"no file at {path}", "expected what the package ships", "install gguf-workbench again")
    return path


def _shipped(name: str, in_checkout: str) -> Path:
    """A folder that travels in the wheel, or its place in a checkout."""
    package = Path(__file__).parent
    places = (package / "shipped" / name, package.parent / in_checkout)
    for place in places:
        if place.is_dir():
            return place
    raise BadFile(f"no folder at {places[0]}", "expected what the package ships", "install gguf-workbench again")


def _usual_folders() -> list[Path]:
    own = os.environ.get("GGUF_WORKBENCH_MODELS", "").split(os.pathsep)
    models = cache_dir() / "models"
    return [*([models] if models.is_dir() else []), *(Path(folder).expanduser() for folder in own if folder)]


def _model_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise BadFile(f"no folder at {folder}", "expected a folder with GGUF files", "check the path")
    seen = 0
    for root, folders, files in os.walk(folder, onerror=_refuse):
        folders.sort()
        seen += len(folders) + len(files)
        if seen > MAX_ENTRIES:
            raise BadRequest(
                f"{folder} holds more than {MAX_ENTRIES:,} files and folders",
                "accepted is a folder of models",
                "name a narrower folder",
            )
        for name in sorted(files):
            blob = name.startswith("sha256-") and "." not in name
            if blob or (name.lower().endswith(".gguf") and not LATER_SHARD.search(name)):
                yield Path(root, name)


def _refuse(error: OSError) -> None:
    if isinstance(error, PermissionError):
        return  # a folder below that belongs to somebody else hides no model of this user
    raise BadFile(
        f"{error.filename} cannot be read: {error.strerror}", "expected a folder with GGUF files", "check the path"
    ) from error


def _is_gguf(path: Path) -> bool:
    """Whether the file starts as a GGUF does; a pipe or a device is never opened."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(GGUF_MAGIC)) == GGUF_MAGIC
    except OSError:
        return False
