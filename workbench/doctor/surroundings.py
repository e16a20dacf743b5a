"""What the workbench runs in: Python, the text encoding, the temporary folder, the shell's path."""

from __future__ import annotations

import locale
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import SpecifierSet

from workbench.doctor.check import Check, failed, home, passed, quoted, warned
from workbench.doctor.installed import OWN
from workbench.doctor.look import Look
from workbench.doctor.room import refuses

PYTHON, ENCODING, TEMPORARY, SHELL = "Python", "text encoding", "temporary folder", "command workbench"
OLDEST = ">=3.11"  # where our own metadata are missing
PROGRAM = "workbench"


def check(look: Look) -> Iterator[Check]:
    """One line each."""
    yield _python(look)
    yield _encoding()
    yield _temporary()
    yield _shell()


def _python(look: Look) -> Check:
    own = look.by_name.get(OWN)
    wanted = (own.requires_python if own else "") or OLDEST
    version = platform.python_version()
    if not SpecifierSet(wanted).contains(version, prereleases=True):
        return failed(
            PYTHON, f"{version}, and the workbench needs {wanted}", "make setup PYTHON=/path/to/a/newer/python3"
        )
    kind = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    return passed(PYTHON, f"{platform.python_implementation()} {version} in {kind}, {home(sys.prefix)}")


def _encoding() -> Check:
    files, names = locale.getpreferredencoding(do_setlocale=False), sys.getfilesystemencoding()
    if {files.lower().replace("-", ""), names.lower().replace("-", "")} == {"utf8"}:
        return passed(ENCODING, "UTF-8 for files and for their names")
    words = f"{files} for files and {names} for their names: texts of other programs can be misread"
    return warned(ENCODING, words, "export LC_ALL=C.UTF-8 PYTHONUTF8=1")


def _temporary() -> Check:
    fix = "export TMPDIR=/a/folder/with/room"
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        return failed(TEMPORARY, str(error), fix)
    if why := refuses(Path(folder)):
        return failed(TEMPORARY, f"nothing can be written to {home(folder)}: {why}", fix)
    return passed(TEMPORARY, home(folder))


def _shell() -> Check:
    here = Path(sys.executable).parent
    found = shutil.which(PROGRAM)
    put = f"export PATH={quoted(here)}:$PATH"
    if found is None:  # as in a checkout, whose environment nobody has to activate
        return passed(SHELL, f"{home(here / PROGRAM)}, which is not on the path")
    if Path(found).parent.resolve() != here.resolve():
        return warned(
            SHELL, f"it starts {home(found)}, which belongs to another Python than {home(sys.executable)}", put
        )
    return passed(SHELL, home(found))
