"""What the processor can do, by the field's names, and what a build of llama.cpp uses of it."""

from __future__ import annotations

import functools
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CPUINFO = Path("/proc/cpuinfo")
LISTS = ("flags", "features")  # the lines of /proc/cpuinfo that list them, on x86 and on ARM and s390x
SYSCTL_TIMEOUT_S = 5
REPORTED = re.compile(r"(\w+) = (\w+)")


class Feature(NamedTuple):
    """A feature's name; the Linux flags that it takes; what llama.cpp calls it, None where it does not say; macOS' key.

    llama.cpp means five flags by AVX-512:
    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-cpu/arch/x86/cpu-feats.cpp#L297-L304
    """

    name: str
    flags: tuple[str, ...]
    reported: str | None = None
    macos: str | None = None


# From the plainest to the most special, x86 before ARM and the others.
FEATURES = (
    Feature("SSE3", ("pni",), "SSE3", "SSE3"),
    Feature("SSSE3", ("ssse3",), "SSSE3", "SSSE3"),
    Feature("SSE4.2", ("sse4_2",), None, "SSE4.2"),
    Feature("AVX", ("avx",), "AVX", "AVX1.0"),
    Feature("F16C", ("f16c",), "F16C", "F16C"),
    Feature("FMA", ("fma",), "FMA", "FMA"),
    Feature("BMI2", ("bmi2",), "BMI2", "BMI2"),
    Feature("AVX2", ("avx2",), "AVX2", "AVX2"),
    Feature("AVX-VNNI", ("avx_vnni",), "AVX_VNNI"),
    Feature("AVX-512", ("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"), "AVX512", "AVX512F"),
    Feature("AVX-512 VBMI", ("avx512vbmi",), "AVX512_VBMI", "AVX512VBMI"),
    Feature("AVX-512 VNNI", ("avx512_vnni",), "AVX512_VNNI", "AVX512VNNI"),
    Feature("AVX-512 BF16", ("avx512_bf16",), "AVX512_BF16"),
    Feature("AMX-TILE", ("amx_tile",)),
    Feature("AMX-INT8", ("amx_int8",), "AMX_INT8"),
    Feature("AMX-BF16", ("amx_bf16",)),
    Feature("NEON", ("asimd",), "NEON", "hw.optional.AdvSIMD"),
    Feature("ARM FMA", ("asimd",), "ARM_FMA", "hw.optional.AdvSIMD"),
    Feature("FP16 vectors", ("asimdhp",), "FP16_VA", "hw.optional.arm.FEAT_FP16"),
    Feature("DOTPROD", ("asimddp",), "DOTPROD", "hw.optional.arm.FEAT_DotProd"),
    Feature("I8MM", ("i8mm",), "MATMUL_INT8", "hw.optional.arm.FEAT_I8MM"),
    Feature("SVE", ("sve",), "SVE"),
    Feature("SVE2", ("sve2",)),
    Feature("SME", ("sme",), "SME", "hw.optional.arm.FEAT_SME"),
    Feature("SME2", ("sme2",), "SME2", "hw.optional.arm.FEAT_SME2"),
    Feature("VXE", ("vxe",), "VXE"),
)


@dataclass(frozen=True)
class Features:
    """Names out of `FEATURES`, in its order; `unknown` says why there are none to tell, empty where they are known."""

    names: tuple[str, ...] = ()
    unknown: str = ""

    def without(self, other: Features) -> tuple[str, ...]:
        """Those that `other` does not have; none where one of the two is not known."""
        if self.unknown or other.unknown:
            return ()
        return tuple(name for name in self.names if name not in other.names)

    def __str__(self) -> str:
        return ", ".join(self.names) or f"unknown ({self.unknown})"


@functools.cache
def cpu_name() -> str:
    """The processor's own name where the system tells it."""
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@functools.cache
def machine() -> Features:
    """The features of this machine's processor, as its system reports them."""
    if CPUINFO.is_file():
        return of_cpuinfo(CPUINFO.read_text(errors="replace"))
    if sys.platform == "darwin":
        return of_sysctl(_sysctl())
    return Features(unknown=f"{platform.system()} does not tell them in a way that is read here")


def of_cpuinfo(text: str) -> Features:
    """The features in what Linux writes to /proc/cpuinfo: those that every processor has."""
    lists = []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in LISTS:
            lists.append(frozenset(value.split()))
    if not lists:
        return Features(unknown="/proc/cpuinfo lists no features on this kind of processor")
    flags = frozenset.intersection(*lists)
    return _found(tuple(f.name for f in FEATURES if flags.issuperset(f.flags)), "/proc/cpuinfo lists none of them")


def of_sysctl(text: str) -> Features:
    """The features in what macOS' `sysctl` prints: lists of names on Intel, one line each on Apple's own processors."""
    words: set[str] = set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words |= {key.strip()} if value.strip() == "1" else set(value.split())
    return _found(tuple(f.name for f in FEATURES if f.macos in words), "sysctl lists none of them")


def of_build(system_info: str) -> Features:
    """The features in the text of `llama_print_system_info`: those of the CPU backend that is loaded.

    Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-cpu/ggml-cpu.cpp#L542-L652
    """
    names = {name for name, value in REPORTED.findall(system_info) if value != "0"}
    return _found(tuple(f.name for f in FEATURES if f.reported in names), "llama.cpp reports none of them")


def _found(names: tuple[str, ...], otherwise: str) -> Features:
    return Features(names) if names else Features(unknown=otherwise)


def _sysctl() -> str:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "hw.optional", "machdep.cpu"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SYSCTL_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
