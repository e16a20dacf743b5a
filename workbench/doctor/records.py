"""Installed files against what their wheels recorded: changed, missing, or cut off."""

from __future__ import annotations

import base64
import hashlib
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from workbench.doctor.check import Check, failed, home, listed, passed, python, quoted, unknown, warned
from workbench.doctor.effects import PACKAGES
from workbench.doctor.installed import Package, Recorded, reinstall
from workbench.doctor.look import Look
from workbench.errors import Cancelled

METADATA, NAME = "package metadata", "package files"
CHUNK = 1 << 20  # bytes
HASHERS = 2


class Trouble(NamedTuple):
    """A file that is not what was installed."""

    package: Package
    path: str
    how: str  # "changed", "missing", "of 7 bytes instead of 9"

    @property
    def is_command(self) -> bool:
        """Whether it is a command beside Python, which the workbench itself never runs."""
        path = PurePosixPath(self.path)
        return path.parts[:1] == ("..",) and path.parent.name in ("bin", "Scripts")


def check(look: Look) -> Iterator[Check]:
    """Packages of `effects.PACKAGES` by the hash of each file, the others by whether each is there in its size."""
    yield _metadata(look)
    found = [package for package in look.by_name.values() if package.record is not None]
    silent = [package.name for package in look.by_name.values() if package.record is None]
    by_hash = [package for package in found if package.name in PACKAGES]
    troubles = [trouble for package in found if package not in by_hash for trouble in sizes(package)]
    for package, (some, fingerprint) in zip(by_hash, _hashed(by_hash, look), strict=True):
        troubles += some
        look.fingerprints[package.name] = fingerprint
    names = listed(sorted(package.name for package in by_hash))
    how = f"{len(found)} packages; by hash: {names}; the others by the size of each file"
    if troubles:
        yield _told(troubles, look)
    elif not found:
        yield unknown(NAME, "no package here has a RECORD of its files")
    else:
        yield passed(NAME, how + (f"; without a RECORD: {listed(silent)}" if silent else ""))


def _metadata(look: Look) -> Check:
    """Whether every package can say what it is: pip itself passes over one that cannot."""
    damaged = look.installed.damaged
    if not damaged:
        return passed(METADATA, f"{len(look.packages)} packages say what they are")
    names = [quoted(path.name.removesuffix(".dist-info").rpartition("-")[0]) for path in damaged if "-" in path.name]
    words = f"{listed(home(path) for path in damaged)} cannot be read"
    fix = f"rm -r {' '.join(quoted(path) for path in damaged)}"
    again = f" && {python()} -m pip install --force-reinstall --no-deps {' '.join(names)}" if names else ""
    return failed(METADATA, words, fix + again)


def _hashed(packages: list[Package], look: Look) -> list[tuple[list[Trouble], str]]:
    """`hashes` of each package, on some threads: reading and hashing leave the interpreter's lock."""
    with ThreadPoolExecutor(HASHERS, thread_name_prefix="workbench-hash") as pool:
        try:
            return list(pool.map(lambda package: hashes(package, look), packages))
        except BaseException:  # an interrupt: the threads need not go on to the end
            look.cancel.set()
            raise


def _told(troubles: list[Trouble], look: Look) -> Check:
    """One line for all of them; broken where a package that is needed is among them."""
    by_name: dict[str, list[Trouble]] = {}
    for trouble in troubles:
        by_name.setdefault(trouble.package.name, []).append(trouble)
    words = [
        f"{name} {some[0].package.version}: " + ", ".join(f"{one.path} is {one.how}" for one in some)
        for name, some in by_name.items()
    ]
    fix = reinstall(*(some[0].package for some in by_name.values()))
    serious = [one for one in troubles if not one.is_command and one.package.name in (*look.needed, *PACKAGES)]
    return (failed if serious else warned)(NAME, "; ".join(words), fix)


def sizes(package: Package) -> Iterator[Trouble]:
    """Files that are missing or of another size."""
    for entry in package.record or ():
        if entry.digest:
            size = _size(package.root / entry.path)
            if size is None:
                yield Trouble(package, entry.path, "missing")
            elif entry.size is not None and size != entry.size:
                yield Trouble(package, entry.path, f"of {size:,} bytes instead of {entry.size:,}")


def hashes(package: Package, look: Look) -> tuple[list[Trouble], str]:
    """Files that are missing or changed, and a fingerprint of what is really there. Errors: `Cancelled`."""
    troubles, whole = [], hashlib.sha256()
    for entry in sorted(package.record or ()):
        if entry.algorithm != "sha256":  # compiled files and RECORD itself have none
            continue
        if look.cancel.is_set():
            raise Cancelled("the examination was stopped")
        found = digest(package.root / entry.path)
        if _is_code(entry):
            whole.update(f"{entry.path}\0{found or 'missing'}\n".encode())
        if found is None:
            troubles.append(Trouble(package, entry.path, "missing"))
        elif found != entry.digest:
            troubles.append(Trouble(package, entry.path, "changed"))
    return troubles, whole.hexdigest()


def _is_code(entry: Recorded) -> bool:
    """Whether a file says something about the package and not about where it was installed."""
    return not entry.path.startswith("..") and ".dist-info/" not in entry.path and not entry.path.endswith(".pth")


def _size(path: Path) -> int | None:
    try:
        state = path.stat()
    except (OSError, ValueError):  # a name with a null byte
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def digest(path: Path) -> str | None:
    """The hash as RECORD writes it, None where no file can be read."""
    if _size(path) is None:
        return None
    sha = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                sha.update(chunk)
    except OSError:
        return None
    return base64.urlsafe_b64encode(sha.digest()).rstrip(b"=").decode()
