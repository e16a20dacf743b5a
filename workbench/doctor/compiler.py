"""The C and C++ compilers that building llama.cpp takes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

from workbench.doctor.check import Check, listed, passed, warned
from workbench.doctor.look import Look

NAME = "compiler"
LANGUAGES = (("C", "CC", ("cc", "gcc", "clang", "cl")), ("C++", "CXX", ("c++", "g++", "clang++", "cl")))
INSTALL = (
    ("apt-get", "apt-get install build-essential"),
    ("dnf", "dnf install gcc gcc-c++ make"),
    ("pacman", "pacman -S base-devel"),
)
TIMEOUT_S = 10


def check(_look: Look) -> Iterator[Check]:
    """Both are there. What is built already works without."""
    found, missing = [], []
    for language, variable, names in LANGUAGES:
        own = shlex.split(os.environ.get(variable, ""))[:1]
        path = next((path for name in (own or names) if (path := shutil.which(name))), None)
        if path is None:
            missing.append(f"{own[0]} (${variable})" if own else f"{language} compiler")
        else:
            found.append(f"{language}: {_version(path)}")
    if missing:
        words = f"no {listed(missing)} found; what is built works, building llama.cpp anew does not"
        yield warned(NAME, words, _install())
    else:
        yield passed(NAME, "; ".join(found))


def _install() -> str:
    if sys.platform == "darwin":
        return "xcode-select --install"
    return next((command for program, command in INSTALL if os.path.exists(f"/usr/bin/{program}")), INSTALL[0][1])  # noqa: PTH110


def _version(path: str) -> str:
    """The first line that the compiler says of itself, else its path."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return path
    lines = done.stdout.decode("utf-8", "backslashreplace").splitlines()
    return lines[0].strip() if lines else path
