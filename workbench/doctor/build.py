"""llama-cpp-python: whether it loads, how it was built, and whether that fits this processor."""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterator
from pathlib import Path

from workbench import cpu
from workbench.doctor.check import Check, failed, listed, passed, python, set_up, unknown, warned
from workbench.doctor.installed import Package, reinstall
from workbench.doctor.look import Look
from workbench.doctor.records import sizes
from workbench.errors import CannotRun
from workbench.gguf.library import package_folders
from workbench.runtime import limits

PACKAGE = "llama-cpp-python"
FLAGS, PROCESSOR, RPC = "build flags", "processor", "RPC"
# Machines that an ELF file names: https://gabi.xinuos.com/elf/a-emachine.html
ELF_MACHINES = {3: "i386", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
SAME_MACHINE = {"amd64": "x86_64", "arm64": "aarch64", "ppc64le": "ppc64"}


def check(look: Look) -> Iterator[Check]:
    """One line each for the package, its flags and its processor."""
    package = look.by_name.get(PACKAGE)
    if package is None and not _is_there():
        yield failed(PACKAGE, "it is not installed", set_up(f"{python()} -m pip install {PACKAGE}"))
        return
    version = package.version if package else "without metadata"
    if error := look.build.get("error"):
        again = reinstall(package) if package else f"{python()} -m pip install --force-reinstall {PACKAGE}"
        yield failed(PACKAGE, f"{version} does not load: {'; '.join([*_reasons(package), error])}", again)
        yield unknown(FLAGS, "llama.cpp does not load")
        yield unknown(PROCESSOR, "llama.cpp does not load")
        return
    library = look.build["library"]
    yield passed(PACKAGE, f"{version} loads" + (f", llama.cpp {library}" if library else ""))
    yield passed(FLAGS, flags_in_words(package, look.build["system_info"]))
    yield _processor(cpu.of_build(look.build["system_info"]), cpu.machine(), package)


def flags(package: Package | None) -> str | None:
    """The CMake arguments that set-up noted beside the wheel that it built, None where it built none."""
    if package is None or package.local is None:
        return None
    try:
        return (package.local.parent / "flags.txt").read_text("utf-8").strip()
    except (OSError, ValueError):
        return None


def flags_in_words(package: Package | None, system_info: str) -> str:
    """What was asked of CMake where that is known, and what llama.cpp reports."""
    asked = flags(package)
    return (f"CMAKE_ARGS={asked}; " if asked else "") + "; ".join(
        part.strip() for part in system_info.split("|") if part.strip()
    )


def _processor(build: cpu.Features, machine: cpu.Features, package: Package | None) -> Check:
    known = limits.known()
    lacking = build.without(machine)
    if lacking:
        again = f"CMAKE_ARGS=-DGGML_NATIVE=ON {python()} -m pip install --force-reinstall --no-cache-dir {PACKAGE}"
        again = f"{again}=={package.version}" if package else again
        return failed(PROCESSOR, f"it is built for {listed(lacking)}, which this processor does not have", again)
    if known != limits.Limits():
        return warned(
            PROCESSOR, f"this build is limited here: {known.reason}", set_up(reinstall(*filter(None, [package])))
        )
    if build.unknown or machine.unknown:
        return unknown(PROCESSOR, f"build: {build}; machine: {machine}")
    known_to_it = [feature.name for feature in cpu.FEATURES if feature.reported]
    unused = [name for name in machine.without(build) if name in known_to_it]
    told = f"; it leaves out {listed(unused)}" if unused else ""
    return passed(PROCESSOR, f"{cpu.cpu_name()}: the build uses {', '.join(build.names)}{told}")


def _is_there() -> bool:
    try:
        return bool(package_folders())
    except CannotRun:
        return False


def _reasons(package: Package | None) -> Iterator[str]:
    """Libraries that are built for another kind of machine, or are not whole; the loader says neither."""
    here = SAME_MACHINE.get(platform.machine().lower(), platform.machine())
    folders = package_folders() if _is_there() else []
    for library in sorted(path for folder in folders for path in Path(folder, "lib").glob("*.so")):
        built = built_for(library)
        if built not in (None, here):
            yield f"{library.name} is built for {built}, and this machine is {here}"
            return
    for trouble in sizes(package) if package else ():
        if trouble.path.startswith("llama_cpp/lib/"):
            yield f"{trouble.path} is {trouble.how}"


def built_for(library: Path) -> str | None:
    """The kind of machine that an ELF file is for, None where it is none."""
    try:
        with library.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    (number,) = struct.unpack(">H" if head[5] == 2 else "<H", head[18:20])
    return ELF_MACHINES.get(number, f"ELF machine {number}")
