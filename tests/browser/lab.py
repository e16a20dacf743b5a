"""A private JupyterLab: its own port, folders and token; nothing is read from or written to the user's own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Page

START_S = 90
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}


class Server(NamedTuple):
    """A JupyterLab that runs: the folder that it serves, its own files, its address and the token that opens it."""

    folder: Path
    home: Path
    base: str
    token: str


class Lab(NamedTuple):
    """A folder of a running server: where its notebooks lie, and how it is reached."""

    folder: Path
    base: str
    token: str
    name: str = ""  # of the folder, below the server's

    def url(self, notebook: str) -> str:
        """The page of a notebook in a fresh workspace."""
        return f"{self.base}/lab/tree/{self.name}/{notebook}?token={self.token}&reset"


@contextlib.contextmanager
def private_lab(folder: Path, *, theme: str = LIGHT) -> Iterator[Lab]:
    """JupyterLab on `folder`; stopped with its kernels at the end."""
    with lab_server(folder) as running:
        _settings(running.home, "themes", {"theme": theme})
        yield Lab(folder, running.base, running.token)


@contextlib.contextmanager
def lab_on(running: Server, name: str, *, theme: str = LIGHT) -> Iterator[Lab]:
    """A folder of its own on a server that others use too, and a theme until the end; then its kernels end."""
    before = _settings(running.home, "themes", {"theme": theme})
    folder = running.folder / name
    folder.mkdir(exist_ok=True)
    try:
        yield Lab(folder, running.base, running.token, name)
    finally:
        _settings(running.home, "themes", before or {"theme": LIGHT})
        _end_kernels(running, name)


@contextlib.contextmanager
def lab_server(folder: Path) -> Iterator[Server]:
    """JupyterLab on `folder`, for as many labs as there are; stopped with its kernels at the end."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="workbench-lab-") as own:
        home = Path(own)
        _settings(home, "notification", NO_NEWS)
        with (home / "server.log").open("wb") as log:
            process = subprocess.Popen(_command(folder), stdout=log, stderr=log, env=_environment(home, token))
            try:
                base = _address(home, process)
                _answering(base, token)
                yield Server(folder, home, base, token)
            finally:
                _stop(process)


def _settings(home: Path, plugin: str, values: dict[str, Any]) -> dict[str, Any]:
    """Set a plugin's settings, which a page reads when it opens; those that were there."""
    folder = home / "settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{plugin}.jupyterlab-settings"
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(values))
    return before


def _end_kernels(running: Server, name: str) -> None:
    """End the kernels of the notebooks in one folder, and wait until they have ended."""

    def ask(path: str, method: str = "GET") -> bytes:
        headers = {"Authorization": f"token {running.token}"}
        request = urllib.request.Request(f"{running.base}/api/sessions{path}", headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=30).read()

    for session in json.loads(ask("")):
        if session["path"].startswith(f"{name}/"):
            ask(f"/{session['id']}", "DELETE")


def _environment(home: Path, token: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "PYTEST"))}
    own = {f"JUPYTER_{name.upper()}_DIR": str(home / name) for name in ("config", "data", "runtime")}
    lab = {f"JUPYTERLAB_{name.upper()}_DIR": str(home / name) for name in ("settings", "workspaces")}
    return kept | own | lab | {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_TOKEN": token}


def _command(folder: Path) -> list[str]:
    options = ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}"]
    options += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly", "--allow-root"]
    return [sys.executable, "-m", "jupyter", "lab", "--no-browser", *options]


def _address(home: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        for file in (home / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(ValueError, OSError):
                return f"http://127.0.0.1:{json.loads(file.read_text())['port']}"
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not start:\n" + (home / "server.log").read_text(errors="replace")[-3000:])


def _answering(base: str, token: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{base}/api/status?token={token}", timeout=5).read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Two polite signals end the server and its kernels; it gets fifteen seconds."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# -- driving it ---------------------------------------------------------------------------------------

IDLE = """() => {
  const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return kernel && kernel.status === 'idle' && kernel.connectionStatus === 'connected';
}"""
ALL_RAN = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cells = panel.content.widgets.filter((c) => c.model.type === 'code' && c.model.sharedModel.getSource().trim());
  const failed = cells.some((c) => c.model.outputs.toJSON().some((o) => o.output_type === 'error'));
  const idle = panel.sessionContext.session.kernel.status === 'idle';
  return idle && (failed || cells.every((c) => c.model.executionCount !== null));
}"""
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter((c) => c.model.type === 'code')
  .flatMap((c) => c.model.outputs.toJSON())
  .filter((o) => o.output_type === 'error')
  .map((o) => o.ename + ': ' + o.evalue)"""


def open_notebook(page: Page, lab: Lab, notebook: str) -> None:
    """Open it and wait until its kernel is ready."""
    page.goto(lab.url(notebook))
    page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")
    page.wait_for_function(IDLE)


def run_all(page: Page, timeout_ms: int = 180_000) -> list[str]:
    """Run every cell; the errors that cells ended with, in words."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(ALL_RAN, timeout=timeout_ms)
    return list(page.evaluate(ERRORS))


def save(page: Page) -> None:
    """Save the open notebook."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


def shut_down_kernel(page: Page) -> None:
    """End the open notebook's kernel."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
