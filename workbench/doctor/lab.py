"""JupyterLab: whether it is there, starts this Python, shows live widgets, and has its port."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.doctor.check import Check, failed, home, listed, passed, python, quoted, unknown, warned
from workbench.doctor.installed import Package
from workbench.doctor.look import Look
from workbench.doctor.records import digest

LAB, KERNEL, FRONT, PORT = "JupyterLab", "notebook kernel", "widget front end", "port of workbench lab"
PACKAGES = ("jupyterlab", "ipykernel", "ipywidgets", "jupyterlab-widgets", "anywidget")
# The extension that draws a package's widgets.
FRONT_ENDS = (("anywidget", "anywidget"), ("@jupyter-widgets/jupyterlab-manager", "jupyterlab-widgets"))
DISABLED = "disabledExtensions"
# https://github.com/jupyter-server/jupyter_server/blob/v2.21.1/jupyter_server/serverapp.py#L1062
PORT_VARIABLE, USUAL_PORT = "JUPYTER_PORT", 8888
TRIED_IN_ORDER = 5  # ports; after them Jupyter draws some


def check(look: Look) -> Iterator[Check]:
    """One line each."""
    missing = [name for name in PACKAGES if name not in look.by_name]
    if missing:
        words = (
            f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not installed; the command line works without"
        )
        yield warned(LAB, words, f'{python()} -m pip install "gguf-workbench[lab]"')
        return
    yield passed(LAB, ", ".join(f"{name} {look.by_name[name].version}" for name in PACKAGES))
    try:
        from jupyter_core.paths import jupyter_config_path, jupyter_path
    except ImportError as error:
        yield unknown(KERNEL, f"jupyter_core cannot be imported: {error}")
        yield unknown(FRONT, f"jupyter_core cannot be imported: {error}")
    else:
        yield _kernel([Path(path) for path in jupyter_path("kernels")])
        yield _front(look, [Path(path) for path in jupyter_path("labextensions")], jupyter_config_path())
    yield _port()


def _kernel(folders: list[Path]) -> Check:
    """The kernel `python3` of the notebooks is this Python.

    https://github.com/jupyter/jupyter_client/blob/v8.10.0/jupyter_client/kernelspec.py
    """
    file = next((path for folder in folders if (path := folder / "python3" / "kernel.json").is_file()), None)
    if file is None:
        return passed(KERNEL, f"ipykernel's own, which is {home(sys.executable)}")
    argv = (_read(file) or {}).get("argv")
    again = f"rm -r {quoted(file.parent)}"
    if not isinstance(argv, list) or not argv or not isinstance(argv[0], str):
        return failed(KERNEL, f"{home(file)} names no program", again)
    major, minor = sys.version_info[:2]
    if argv[0] in ("python", f"python{major}", f"python{major}.{minor}") or _same_folder(argv[0]):
        return passed(KERNEL, f"{home(file)} starts {home(sys.executable)}")
    return warned(KERNEL, f"{home(file)} starts {home(argv[0])}, which is not this Python: notebooks run there", again)


def _same_folder(program: str) -> bool:
    """Whether a program lies where this Python does. (Both may be links to one that many environments share.)"""
    return Path(program).parent.absolute() == Path(sys.executable).parent.absolute()


def _front(look: Look, folders: list[Path], config: list[str]) -> Check:
    """Each front end is found by JupyterLab, whole, that of the installed package, and not turned off."""
    off = _disabled([Path(folder, "labconfig") for folder in config])
    troubles, told, fixes = [], [], []
    for name, owner in FRONT_ENDS:
        if trouble := _trouble(name, look.by_name[owner], folders):
            troubles.append(trouble)
            fixes.append(
                f"{python()} -m pip install --force-reinstall --no-deps {owner}=={look.by_name[owner].version}"
            )
        elif name in off or any(one.startswith(f"{name}:") for one in off):
            troubles.append(f"{name} is turned off in JupyterLab's settings")
            fixes.append(f"{python()} -m jupyter labextension enable {name}")
        else:
            told.append(name)
    if troubles:
        return failed(FRONT, f"live views stay empty: {'; '.join(troubles)}", " && ".join(fixes))
    return passed(FRONT, f"{listed(told)} are there and turned on")


def _trouble(name: str, owner: Package, folders: list[Path]) -> str:
    """What is wrong with a front end, "" where nothing is."""
    found = next((path for folder in folders if (path := folder / name / "package.json").is_file()), None)
    if found is None:
        return f"{name} is in none of {listed(home(folder) for folder in folders)}"
    build = ((_read(found) or {}).get("jupyterlab") or {}).get("_build") or {}
    entry = build.get("load") if isinstance(build, dict) else None
    if not isinstance(entry, str) or not (found.parent / entry).is_file():
        return f"{home(found.parent)} is not whole: {entry or 'what to load'} is missing"
    own = {row.digest for row in owner.record or () if row.path.endswith(f"labextensions/{name}/package.json")}
    if own and digest(found) not in own:
        return f"{home(found.parent)} is not that of the installed {owner.name} {owner.version}"
    return ""


def _disabled(folders: list[Path]) -> set[str]:
    """The extensions that are turned off, the first folder's word counting most.

    https://github.com/jupyterlab/jupyterlab_server/blob/v2.28.1/jupyterlab_server/config.py#L114
    """
    said: dict[str, bool] = {}
    for folder in reversed(folders):
        for file in (*sorted((folder / "page_config.d").glob("*.json")), folder / "page_config.json"):
            names = (_read(file) or {}).get(DISABLED) or {}
            said |= names if isinstance(names, dict) else dict.fromkeys(map(str, names), True)
    return {name for name, off in said.items() if off}


def _read(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _port() -> Check:
    given = os.environ.get(PORT_VARIABLE, str(USUAL_PORT))
    if not given.isdigit() or int(given) > 65535:
        return warned(PORT, f"${PORT_VARIABLE} is {given}, which is no port", f"unset {PORT_VARIABLE}")
    port = int(given)
    if _is_free(port):
        return passed(PORT, f"{port} is free")
    other = next((other for other in range(port + 1, port + TRIED_IN_ORDER) if _is_free(other)), None)
    fix = f"workbench lab -- --port {other or port + 100}"
    if other is None:
        return warned(PORT, f"{port} and the next {TRIED_IN_ORDER - 1} are taken by other programs", fix)
    return warned(PORT, f"{port} is taken by another program; JupyterLab will take {other}", fix)


def _is_free(port: int) -> bool:
    if port > 65535:
        return False
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
