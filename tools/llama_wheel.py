"""A llama-cpp-python wheel for this machine: one that the user has, one from the cache, or a fresh build.

pip's own cache does not look at CMAKE_ARGS, so builds are kept here under a key of everything that
shapes them: version, Python, flags, compilers, processor.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

OWN_WHEEL = "GGUF_WORKBENCH_LLAMA_WHEEL"
RPC = "GGML_RPC"
STEP = re.compile(r"\[ *(\d+)(?:/(\d+)|%)\]")  # ninja's [12/340], make's [ 12%]
BUILD_ENVIRONMENT = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAARCHS", "CUDAHOSTCXX")

Say = Callable[[str], None]


class SetupError(Exception):
    """What is missing and what to do, in one sentence."""


def cmake_args() -> str:
    """The user's own CMAKE_ARGS with RPC added, unless they name it themselves."""
    own = os.environ.get("CMAKE_ARGS", "").strip()
    return own if RPC in own else f"{own} -D{RPC}=ON".strip()


def key(version: str, python: Path) -> str:
    """The name of the cache folder for this build."""
    probe = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())"
    abi = subprocess.run([str(python), "-c", probe], check=True, capture_output=True, text=True).stdout.strip()
    shape = [abi, *sorted(shlex.split(cmake_args())), processor()]
    shape += [f"{name}={os.environ[name]}" for name in BUILD_ENVIRONMENT if os.environ.get(name)]
    return f"{version}-{abi.split()[0]}-{hashlib.sha256(chr(0).join(shape).encode()).hexdigest()[:12]}"


def processor() -> str:
    """What the compiler's -march=native depends on: a wheel from another processor may crash on this one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {' '.join(sorted(flags.split())) or platform.processor()}"


def find_or_build(version: str, python: Path, cache: Path, say: Say) -> Path:
    """The wheel's path. Errors: `SetupError`."""
    if own := os.environ.get(OWN_WHEEL):
        if not Path(own).is_file():
            raise SetupError(f"{OWN_WHEEL} is {own!r}, but no file is there; name a wheel or unset it")
        return Path(own)
    folder = cache / "wheels" / key(version, python)
    if wheels := sorted(folder.glob("*.whl")):
        say(f"llama-cpp-python {version} from the cache ({folder.name})")
        return wheels[0]
    if not os.environ.get("CMAKE_ARGS") and (wheel := download(version, python, cache / "wheels", "binary")):
        say(f"llama-cpp-python {version} as a wheel that your pip knows")
        return wheel
    check_compiler()
    source = source_package(version, python, cache, say)
    return build(source, python, folder, say)


def source_package(version: str, python: Path, cache: Path, say: Say) -> Path:
    """The source package, kept in the cache. Errors: `SetupError`."""
    folder = cache / "sdist"
    kept = folder / f"llama_cpp_python-{version}.tar.gz"
    if not kept.is_file():
        say(f"fetching the sources of llama-cpp-python {version} (77 MB)")
        if not download(version, python, folder, "source"):
            raise SetupError(f"pip could not download llama-cpp-python {version}; check its configuration and network")
    return kept


def download(version: str, python: Path, folder: Path, kind: str) -> Path | None:
    """The package as a wheel ("binary") or source package ("source") through the user's pip, None where it has none."""
    choice = ["--only-binary", ":all:"] if kind == "binary" else ["--no-binary", "llama-cpp-python"]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", *choice, "--dest", aside]
        subprocess.run([*command, f"llama-cpp-python=={version}"], check=False, capture_output=True)
        for found in Path(aside).iterdir():
            return found.replace(folder / found.name)
    return None


def check_compiler() -> None:
    """A C and a C++ compiler are there. (cmake and ninja come with the build where the machine has none.)"""
    for variable, names in (("CC", ("cc", "gcc", "clang", "cl")), ("CXX", ("c++", "g++", "clang++", "cl"))):
        own = shlex.split(os.environ.get(variable, ""))[:1]
        if not any(shutil.which(name) for name in (*own, *names)):
            language = {"CC": "C", "CXX": "C++"}[variable]
            raise SetupError(
                f"no {language} compiler found, and llama-cpp-python has to be compiled once; "
                f"on Debian and Ubuntu: apt-get install build-essential; or name a wheel that you have in {OWN_WHEEL}"
            )


def build(source: Path, python: Path, folder: Path, say: Say) -> Path:
    """Compile the wheel and keep it in `folder`, with the flags beside it. Errors: `SetupError` with the log's end."""
    flags = cmake_args()
    say(f"building llama.cpp, some 5 to 10 minutes, once (CMAKE_ARGS={flags})")
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / "build.log"
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        pip = [str(python), "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir", "--wheel-dir", aside]
        environment = os.environ | {"CMAKE_ARGS": flags}
        environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        if run_with_progress([*pip, str(source)], environment, log):
            end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            raise SetupError(f"building llama-cpp-python failed; its log is {log}, its last lines:\n{end}")
        wheel = next(Path(aside).glob("*.whl"))
        folder.mkdir(exist_ok=True)
        (folder / "flags.txt").write_text(flags + "\n")
        return wheel.replace(folder / wheel.name)


def run_with_progress(command: list[str], environment: dict[str, str], log: Path) -> int:
    """Run a build with its output in `log`; shows how far it is, on a terminal in place, else once a minute."""
    started = shown = time.monotonic()
    terminal = sys.stderr.isatty()
    with (
        log.open("w", encoding="utf-8", errors="replace") as file,
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            step = STEP.search(line)
            now = time.monotonic()
            if step and now - shown >= (0.2 if terminal else 60):
                shown = now
                text = f"setup:   {step[0]} after {now - started:.0f} s"
                sys.stderr.write(f"\r{text}\033[K" if terminal else f"{text}\n")
                sys.stderr.flush()
    if terminal:
        sys.stderr.write("\r\033[K")
    return process.returncode
