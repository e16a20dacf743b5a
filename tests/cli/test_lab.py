"""`workbench lab`: a copy that never overwrites a user's work, and a JupyterLab that really serves it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from workbench import data


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "01-first.ipynb").write_text('{"cells": []}')
    (folder / "02-second.ipynb").write_text('{"cells": [2]}')
    monkeypatch.setattr(data, "notebooks", lambda: folder)
    return folder


def test_the_notebooks_are_copied_once(shipped, tmp_path):
    from workbench.cli.lab import copy_notebooks

    copied = copy_notebooks(tmp_path / "mine")
    assert (copied.fresh, copied.kept, copied.first) == (("01-first.ipynb", "02-second.ipynb"), (), "01-first.ipynb")
    again = copy_notebooks(tmp_path / "mine")
    assert (again.fresh, again.kept) == ((), ())


def test_an_edited_notebook_is_kept_and_an_untouched_one_is_updated(shipped, tmp_path):
    from workbench.cli.lab import copy_notebooks

    mine = tmp_path / "mine"
    copy_notebooks(mine)
    (mine / "01-first.ipynb").write_text("my work")
    (shipped / "01-first.ipynb").write_text("new one")
    (shipped / "02-second.ipynb").write_text("new two")
    copied = copy_notebooks(mine)
    assert (copied.fresh, copied.kept) == (("02-second.ipynb",), ("01-first.ipynb",))
    assert (mine / "01-first.ipynb").read_text() == "my work"
    assert (mine / "02-second.ipynb").read_text() == "new two"


def test_a_file_that_was_there_before_is_kept(shipped, tmp_path):
    from workbench.cli.lab import copy_notebooks

    (tmp_path / "01-first.ipynb").write_text("somebody's own")
    (tmp_path / ".workbench.json").write_text("not json")
    assert copy_notebooks(tmp_path).kept == ("01-first.ipynb",)
    assert (tmp_path / "01-first.ipynb").read_text() == "somebody's own"


def test_copy_only_prints_one_object(workbench, tmp_path):
    ran = workbench("lab", tmp_path / "mine", "--copy-only", "--json")
    assert ran.code == 0
    facts = ran.json
    assert facts["folder"] == str(tmp_path / "mine")
    assert facts["copied"] == [path.name for path in sorted((tmp_path / "mine").glob("*.ipynb"))]
    assert facts["notebook"] == "01-one-request-step-by-step.ipynb"


def test_a_folder_that_cannot_be_made_is_one_line(workbench, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be copied" in workbench("lab", tmp_path / "file" / "deep", "--copy-only").refused()


def test_a_python_without_jupyterlab_says_how_to_get_it(monkeypatch):
    import importlib.util

    from workbench.cli.lab import jupyter_command
    from workbench.errors import CannotRun

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CannotRun, match=r'pip install "gguf-workbench\[lab\]"'):
        jupyter_command([])


@pytest.mark.slow
def test_jupyterlab_serves_the_copy_and_ends_with_the_command(tmp_path):
    environment = os.environ | {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "workbench", "lab", str(tmp_path / "mine")]
    options = ["--no-browser", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=secret"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([*command, "--", *options], stdout=subprocess.PIPE, stderr=file, env=environment)
    try:
        url = _wait_for_url(log, process)
        with urllib.request.urlopen(f"{url}/api/contents?token=secret", timeout=20) as answer:
            names = [item["name"] for item in json.load(answer)["content"]]
        assert "01-one-request-step-by-step.ipynb" in names
        assert "/lab/tree/01-one-request-step-by-step.ipynb" in log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert out == b""
    shutil.rmtree(tmp_path / "mine")


def _wait_for_url(log, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
