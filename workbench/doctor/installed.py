"""The installed packages, as their own metadata describe them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from workbench.doctor.check import python, quoted

OWN = "gguf-workbench"
# Extras that people use; the others are for those who work on the workbench itself.
EXTRAS = ("", "lab", "engines", "servers", "hf")
EXTRAS_FOR_DEVELOPERS = ("cluster", "test", "dev")
FILE, UNREADABLE = "file", "an unreadable direct_url.json"


class Recorded(NamedTuple):
    """A row of RECORD: the path from the folder of installation, algorithm and digest ("" without), bytes or None."""

    path: str
    algorithm: str
    digest: str
    size: int | None


class Package(NamedTuple):
    """One distribution. `root` is the folder it is installed in; `record` its files, None where it has no RECORD.

    `source` is the content of direct_url.json, None for one that came from an index.
    """

    name: str
    version: str
    root: Path
    requires: tuple[str, ...]
    requires_python: str
    source: dict[str, Any] | None
    record: tuple[Recorded, ...] | None

    @property
    def url(self) -> str:
        """Where it came from instead of an index, without user names, passwords and tokens; "" for an index."""
        return bare(str((self.source or {}).get("url", "")))

    @property
    def local(self) -> Path | None:
        """The file or folder that it came from, where that is one of this machine."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == FILE else None

    @property
    def editable(self) -> bool:
        """Whether its code lies in a checkout."""
        folder = (self.source or {}).get("dir_info")
        return isinstance(folder, dict) and folder.get("editable") is True

    @property
    def modules(self) -> Iterator[str]:
        """The names that can be imported of it: its packages with an `__init__` and its single modules."""
        for entry in self.record or ():
            folder, _, file = entry.path.partition("/")
            if file == "__init__.py":
                yield folder
            elif not file and folder.endswith((".py", ".so", ".pyd")):
                yield folder.partition(".")[0]

    def requirements(self, extra: str = "") -> Iterator[Requirement]:
        """What it asks for here, with `extra` only what that adds."""
        for text in self.requires:
            try:
                asked = Requirement(text)
            except InvalidRequirement:
                continue
            if _applies(asked, extra) and not (extra and _applies(asked, "")):
                yield asked


class Found(NamedTuple):
    """The distributions in the order of `sys.path`, and the folders whose metadata cannot be read."""

    packages: tuple[Package, ...]
    damaged: tuple[Path, ...]


def packages(places: Sequence[str] | None = None) -> Found:
    """All of `places` (None: `sys.path`): where a name stands twice, the first one counts."""
    readable, damaged = [], []
    # The standard library's own finder: importlib_metadata, where it is loaded, puts one of its own in its place.
    place = metadata.DistributionFinder.Context(path=list(sys.path if places is None else places))
    for found in metadata.MetadataPathFinder.find_distributions(place):
        try:
            readable.append(_package(found))
        except (ValueError, KeyError, TypeError, csv.Error):  # no UTF-8, no name, no RECORD of the kind
            damaged.append(Path(str(getattr(found, "_path", found.locate_file("")))))
    return Found(tuple(readable), tuple(damaged))


def first(found: tuple[Package, ...]) -> dict[str, Package]:
    """By name, those that count."""
    by_name: dict[str, Package] = {}
    for package in found:
        by_name.setdefault(package.name, package)
    return by_name


def asked_for(by_name: dict[str, Package], extras: tuple[str, ...] = EXTRAS) -> tuple[tuple[str, str], ...]:
    """Name and extra ("" for what it always asks for) of each installed package that the workbench comes to need."""
    waiting = [(OWN, extra) for extra in extras] if OWN in by_name else []
    seen = set(waiting)
    for name, extra in waiting:  # grows while it is walked through
        for asked in by_name[name].requirements(extra):
            other = canonicalize_name(asked.name)
            more = {(other, wanted) for wanted in ("", *asked.extras)} - seen if other in by_name else set()
            seen |= more
            waiting += sorted(more)
    return tuple(waiting)


def reinstall(*found: Package) -> str:
    """The command that installs these packages again as they were installed."""
    words = [
        ("--editable " if package.editable else "") + quoted(package.local or f"{package.name}=={package.version}")
        for package in found
    ]
    return f"{python()} -m pip install --force-reinstall --no-deps {' '.join(words)}"


def bare(url: str) -> str:
    """A URL without the user, the password and the query: a table is shown to others."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return UNREADABLE
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.scheme else url


def _applies(asked: Requirement, extra: str) -> bool:
    try:
        return asked.marker is None or asked.marker.evaluate({"extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _package(found: metadata.Distribution) -> Package:
    """Errors: `ValueError` and the like where it cannot say what it is."""
    facts = found.metadata
    return Package(
        name=canonicalize_name(facts["Name"] or "", validate=True),
        version=str(Version(facts["Version"] or "")),
        root=Path(str(found.locate_file(""))),
        requires=tuple(facts.get_all("Requires-Dist") or ()),
        requires_python=facts["Requires-Python"] or "",
        source=_source(found.read_text("direct_url.json")),
        record=_record(found.read_text("RECORD")),
    )


def _source(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"url": UNREADABLE}
    return value if isinstance(value, dict) else {"url": UNREADABLE}


def _record(text: str | None) -> tuple[Recorded, ...] | None:
    """https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file"""
    if text is None:
        return None
    rows = []
    for row in csv.reader(text.splitlines()):
        if len(row) == 3:
            algorithm, _, digest = row[1].partition("=")
            rows.append(Recorded(row[0], algorithm, digest, int(row[2]) if row[2].isdigit() else None))
    return tuple(rows)
