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
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from workbench import cpu

OWN_WHEEL = "GGUF_WORKBENCH_LLAMA_WHEEL"
RPC = "GGML_RPC"
LOADER = "_load_backends"
X86 = ("x86_64", "AMD64")
# Backends as libraries of their own, the CPU's once for each usual set of instructions, all beside libllama. (The
# type is named so that CMake leaves the path relative to the wheel.)
PORTABLE = (
    "-DGGML_NATIVE=OFF -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON "
    "-DCMAKE_INSTALL_BINDIR:STRING=llama_cpp/lib -DCMAKE_INSTALL_RPATH=$ORIGIN"
)
NEWEST = (
    "-mavx512bf16",
    "-mavxvnni",
    "-mamx-tile",
    "-mamx-int8",
)  # what the variants need of a compiler: GCC 11 has it
# What is left out, step by step, where a build for this processor fails; CMake's names of the features.
LADDER = (
    ("amx", {"AMX-TILE", "AMX-INT8", "AMX-BF16"}),
    ("avx512", {"AVX-512", "AVX-512 VBMI", "AVX-512 VNNI", "AVX-512 BF16"}),
    ("avx2", {"AVX2", "AVX-VNNI", "FMA", "F16C", "BMI2"}),
    ("avx", {"AVX"}),
)
GGML_FLAGS = {
    "SSE4.2": "GGML_SSE42",
    "AVX": "GGML_AVX",
    "F16C": "GGML_F16C",
    "FMA": "GGML_FMA",
    "BMI2": "GGML_BMI2",
    "AVX2": "GGML_AVX2",
    "AVX-VNNI": "GGML_AVX_VNNI",
    "AVX-512": "GGML_AVX512",
    "AVX-512 VBMI": "GGML_AVX512_VBMI",
    "AVX-512 VNNI": "GGML_AVX512_VNNI",
    "AVX-512 BF16": "GGML_AVX512_BF16",
    "AMX-TILE": "GGML_AMX_TILE",
    "AMX-INT8": "GGML_AMX_INT8",
    "AMX-BF16": "GGML_AMX_BF16",
}
STEP = re.compile(r"\[ *(\d+)(?:/(\d+)|%)\]")  # ninja's [12/340], make's [ 12%]
BUILD_ENVIRONMENT = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CUDACXX", "CUDAARCHS", "CUDAHOSTCXX")

Say = Callable[[str], None]


class SetupError(Exception):
    """What is missing and what to do, in one sentence."""


class Flavour(NamedTuple):
    """A way to build: its name, which the wheel's folder carries, CMake's flags, whether it is for one processor."""

    name: str
    flags: str
    native: bool = True


def flavours() -> list[Flavour]:
    """The ways to build on this machine, the best first; each later one leaves instruction sets out.

    The portable one needs no later ones: it carries llama.cpp's CPU backend once for each usual set of instructions,
    and one that fails is not loaded. With flags of the user's own, and on other systems, a build is for this processor.
    """
    if can_be_portable():
        return [Flavour("portable", with_rpc(PORTABLE), native=False)]
    return native_flavours()


def native_flavours() -> list[Flavour]:
    """The same for this processor alone, with the user's own flags."""
    own = os.environ.get("CMAKE_ARGS", "").strip()
    return [Flavour("native", with_rpc(own)), *without_features(own)]


def with_rpc(flags: str) -> str:
    """The flags with RPC added, unless they name it themselves."""
    return flags if RPC in flags else f"-D{RPC}=ON {flags}".strip()


def without_features(own: str) -> Iterator[Flavour]:
    """Builds with named instruction sets instead of all that this processor has, each with less than the one before."""
    if platform.machine() not in X86 or "GGML_NATIVE" in own:
        return
    here, left_out = set(cpu.machine().names), set[str]()
    for name, group in LADDER:
        if not here & group:
            continue
        left_out |= group
        named = [f"-D{flag}={'ON' if feature in here - left_out else 'OFF'}" for feature, flag in GGML_FLAGS.items()]
        yield Flavour(f"without-{name}", with_rpc(" ".join([own, "-DGGML_NATIVE=OFF", *named]).strip()))


def can_be_portable() -> bool:
    """Whether nothing of the user's own is asked for, and the compiler knows every instruction set of the variants."""
    if os.environ.get("CMAKE_ARGS", "").strip() or sys.platform != "linux" or platform.machine() not in X86:
        return False
    compiler = shlex.split(os.environ.get("CXX", "")) or [shutil.which("c++") or shutil.which("g++") or "clang++"]
    try:
        done = subprocess.run(
            [*compiler, *NEWEST, "-x", "c++", "-fsyntax-only", "-"], check=False, capture_output=True, input=b""
        )
    except OSError:
        return False
    return done.returncode == 0


def key(version: str, python: Path, flavour: Flavour) -> str:
    """The name of the cache folder for this build."""
    probe = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())"
    abi = subprocess.run([str(python), "-c", probe], check=True, capture_output=True, text=True).stdout.strip()
    shape = [abi, *sorted(shlex.split(flavour.flags)), *([processor()] if flavour.native else [])]
    shape += [f"{name}={os.environ[name]}" for name in BUILD_ENVIRONMENT if os.environ.get(name)]
    return f"{version}-{abi.split()[0]}-{flavour.name}-{hashlib.sha256(chr(0).join(shape).encode()).hexdigest()[:12]}"


def processor() -> str:
    """What the compiler's -march=native depends on: a wheel from another processor may crash on this one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {' '.join(sorted(flags.split())) or platform.processor()}"


def own_wheel() -> Path | None:
    """The wheel that the user names, None where there is none. Errors: `SetupError` where no file is there."""
    own = os.environ.get(OWN_WHEEL)
    if own and not Path(own).is_file():
        raise SetupError(f"{OWN_WHEEL} is {own!r}, but no file is there; name a wheel or unset it")
    return Path(own) if own else None


def find_or_build(version: str, python: Path, cache: Path, flavour: Flavour, say: Say) -> Path:
    """The wheel's path: kept, known to the user's pip, or built now. Errors: `SetupError`."""
    folder = cache / "wheels" / key(version, python, flavour)
    if wheels := sorted(folder.glob("*.whl")):
        say(f"llama-cpp-python {version} from the cache ({folder.name})")
        return wheels[0]
    plain = flavour == flavours()[0] and not os.environ.get("CMAKE_ARGS")
    if plain and (wheel := download(version, python, cache / "wheels", "binary")):
        say(f"llama-cpp-python {version} as a wheel that your pip knows")
        return wheel
    check_compiler()
    source = source_package(version, python, cache, say)
    return build(source, python, folder, flavour, say)


def failed_here(folder: Path) -> Path:
    """The note that the build in `folder` failed its proof on this machine."""
    return folder / f"failed-on-{hashlib.sha256(processor().encode()).hexdigest()[:12]}.txt"


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


def build(source: Path, python: Path, folder: Path, flavour: Flavour, say: Say) -> Path:
    """Compile the wheel and keep it in `folder`, with the flags beside it. Errors: `SetupError` with the log's end."""
    flags = flavour.flags
    say(f"building llama.cpp, some 5 to 10 minutes, once (CMAKE_ARGS={flags})")
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / "build.log"
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        pip = [str(python), "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir", "--wheel-dir", aside]
        environment = os.environ | {"CMAKE_ARGS": flags}
        environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        tree = source if flavour.native else that_loads_its_backends(source, Path(aside, "source"))
        if run_with_progress([*pip, str(tree)], environment, log):
            end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            raise SetupError(f"building llama-cpp-python failed; its log is {log}, its last lines:\n{end}")
        wheel = next(Path(aside).glob("*.whl"))
        folder.mkdir(exist_ok=True)
        (folder / "flags.txt").write_text(flags + "\n")
        return wheel.replace(folder / wheel.name)


def that_loads_its_backends(source: Path, folder: Path) -> Path:
    """The sources unpacked, with `load_backends.py` added to the package and imported where it loads libllama."""
    with tarfile.open(source) as package:
        package.extractall(folder, filter="data")
    tree = next(folder.iterdir())
    shutil.copy(Path(__file__).with_name("load_backends.py"), tree / "llama_cpp" / f"{LOADER}.py")
    with (tree / "llama_cpp" / "llama_cpp.py").open("a", encoding="utf-8") as file:
        file.write(f"\nimport llama_cpp.{LOADER}  # added by the GGUF workbench's build\n")
    return tree


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
