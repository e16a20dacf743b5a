"""Runs the command as a user does: a process of its own, both streams kept apart."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

import pytest


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON object on stdout."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        facts = json.loads(self.out)
        assert facts["schema_version"] == 1
        return facts

    def refused(self):
        """Exit 2, nothing on stdout, one line on stderr, which is returned."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("workbench: ")
        return self.err


@pytest.fixture(scope="session")
def workbench():
    def run(*arguments, stdin=None, cwd=None):
        command = [sys.executable, "-m", "workbench", *map(str, arguments)]
        done = subprocess.run(command, input=stdin, cwd=cwd, capture_output=True, timeout=300)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def request_file(tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}))
    return path


@pytest.fixture
def template_file(tmp_path):
    path = tmp_path / "template.jinja"
    path.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}")
    return path
