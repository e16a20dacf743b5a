"""llama.cpp's own llama-perplexity, of the very version that the installed llama-cpp-python carries.

`python tools/llama_perplexity.py` prints its path. Only the program's own files are compiled, some fifty of them,
and linked with the libraries that llama-cpp-python installed: the same kernels compute on both sides, and it takes
minutes. Kept in the cache under what these libraries are.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import llama_wheel
from llama_wheel import Say, SetupError

from workbench.data import cache_dir
from workbench.gguf.library import shared_library
from workbench.runtime import backends

PACKAGE, NAME = "llama-cpp-python", "llama-perplexity"
OWN = re.compile(r"^((?:common|tools/perplexity|vendor/cpp-httplib)/\S+\.o):", re.MULTILINE)
LIBRARIES = ("llama", "ggml", "ggml-cpu", "ggml-base")
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_C_FLAGS_RELEASE=-O0 -DNDEBUG",  # the kernels are the installed libraries': the rest may be slow,
    "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -DNDEBUG",  # and it is compiled in a third of the time
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
)


def find_or_build(say: Say) -> Path:
    """The program's path, built where it is not there yet. Errors: `SetupError` with the log's end."""
    installed = version(PACKAGE)
    target = cache_dir() / "tools" / f"{installed}-{libraries_key()}" / NAME
    if target.is_file():
        return target
    for program in ("cmake", "ninja"):
        if shutil.which(program, path=search_path()) is None:
            raise SetupError(f"no {program} found, which builds {NAME}; pip install {program}")
    llama_wheel.check_compiler()
    source = llama_wheel.source_package(installed, Path(sys.executable), cache_dir(), say)
    say(f"building {NAME} of {PACKAGE} {installed}, some minutes, once")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as aside:
        with tarfile.open(source) as package:
            package.extractall(aside, filter="data")
        tree = next(Path(aside).glob("*/vendor/llama.cpp"))
        compile_and_link(tree, Path(aside) / "build", target.parent / "build.log").replace(target)
    return target


def compile_and_link(tree: Path, folder: Path, log: Path) -> Path:
    """The program in `folder`. Errors: `SetupError`."""
    run(["cmake", "-G", "Ninja", "-S", str(tree), "-B", str(folder), *OPTIONS], log)
    ninja = ["ninja", "-C", str(folder)]
    listing = [*ninja, "-t", "targets", "all"]
    listed = subprocess.run(listing, check=True, capture_output=True, text=True, env=with_path()).stdout
    objects = OWN.findall(listed)
    run([*ninja, *objects], log)
    compiler = os.environ.get("CXX", "c++").split()
    paths = [str(folder / name) for name in objects]
    linked = [str(shared_library(name)) for name in LIBRARIES if name != "ggml-cpu" or not backends.variants()]
    run([*compiler, *paths, *linked, "-lpthread", "-o", str(folder / NAME)], log)
    return folder / NAME


def run(command: list[str], log: Path) -> None:
    """One step with its output in `log`. Errors: `SetupError`."""
    if llama_wheel.run_with_progress(command, with_path(), log):
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SetupError(f"building {NAME} failed; its log is {log}, its last lines:\n{end}")


def search_path() -> str:
    """Where programs are looked for: beside this Python first, where pip puts cmake and ninja."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def with_path() -> dict[str, str]:
    """The environment in which those programs are found."""
    return os.environ | {"PATH": search_path()}


def libraries_key() -> str:
    """What the libraries are that the program is linked with: their names and sizes."""
    files = sorted((path.name, path.stat().st_size) for path in shared_library("llama").parent.glob("lib*"))
    return hashlib.sha256(repr(files).encode()).hexdigest()[:12]


def environment() -> dict[str, str]:
    """What the program needs to find its libraries, with the CPU variant that the workbench takes."""
    found = os.environ | {"LD_LIBRARY_PATH": str(shared_library("llama").parent)}
    known = backends.variants()
    return found | ({"GGML_BACKEND_PATH": str(known[backends.chosen()])} if known else {})


def main() -> int:
    """Print the path; 2 and one sentence where it cannot be had."""
    try:
        print(find_or_build(lambda text: print(f"setup: {text}", file=sys.stderr)))
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
