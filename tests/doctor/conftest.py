"""Examinations in processes of their own, with something planted in front of what is installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import workbench

SITE = Path(sysconfig.get_path("purelib"))
ROOT = Path(workbench.__file__).parents[1]
EXAMINE = """\
import json, sys
from workbench.doctor import doctor
print(json.dumps(doctor(only=sys.argv[1:] or None).to_dict()))
"""


class Planted:
    """The surroundings of one examination: `front` comes first on the path of imports, `cache` is its cache folder."""

    def __init__(self, folder, environment):
        self.folder, self.environment, self.python, self.limits = folder, environment, sys.executable, []
        self.front, self.cache = folder / "front", folder / "cache"
        self.front.mkdir()
        self.environment["PYTHONPATH"] = os.pathsep.join([str(self.front), str(ROOT)])

    def package(self, name, *modules):
        """A copy of an installed package with its metadata in front of it; returns the folder of the metadata."""
        for module in modules:
            shutil.copytree(SITE / module, self.front / module)
        about = Path(
            metadata.distribution(name).locate_file(""), f"{name.replace('-', '_')}-{metadata.version(name)}.dist-info"
        )
        return Path(shutil.copytree(about, self.front / about.name))

    def own_cache(self):
        """An empty cache folder in place of the user's."""
        self.cache.mkdir()
        self.environment["GGUF_WORKBENCH_CACHE"] = str(self.cache)
        return self.cache

    def examine(self, *groups):
        """The checks of these groups (all without one) by name."""
        import resource

        def limit():
            for kind, most in self.limits:
                resource.setrlimit(kind, (most, most))

        command = [self.python, "-P", "-c", EXAMINE, *groups]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, preexec_fn=limit)
        assert done.returncode == 0, done.stderr
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def surroundings():
    """This process's, with the workbench's own command on the path and a port that is free."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "JUPYTER_PORT": str(free_port()), "LC_ALL": "C.UTF-8"}


@pytest.fixture
def planted(tmp_path):
    return Planted(tmp_path, surroundings())


@pytest.fixture(scope="session")
def healthy(examined):
    """The whole examination of the machine as it is, by the checks' names."""
    return {check["name"]: check for check in json.loads(examined.stdout)["checks"]}
