"""The wheel carries notebooks and samples, and works where there is no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh environment with the wheel; everything else comes from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python


def run(python, *arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([python, *arguments], check=True, capture_output=True, text=True, cwd=cwd, env=environment)


def test_the_wheel_has_what_belongs_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "workbench/shipped/notebooks/01-one-request-step-by-step.ipynb" in names
    assert "workbench/shipped/requests/hello.json" in names
    assert "workbench/shipped/constraints.txt" in names
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "workbench").rglob("*") if path.is_file()}
    assert {name for name in sources if "__pycache__" not in name} <= set(names)
    models = [name for name in names if name.endswith(".gguf")]
    assert models == ["workbench/shipped/toolsmith/toolsmith-f16.gguf"]
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


def test_the_installed_package_is_not_the_checkout(installed, tmp_path):
    where = run(installed, "-c", "import workbench; print(workbench.__file__)", cwd=tmp_path).stdout
    assert str(ROOT) not in where


def test_lab_copies_its_notebooks_and_samples_have_names(installed, tmp_path):
    done = run(installed.with_name("workbench"), "lab", tmp_path / "mine", "--copy-only", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["copied"][0] == "01-one-request-step-by-step.ipynb"
    assert (tmp_path / "mine/01-one-request-step-by-step.ipynb").is_file()
    done = run(installed, "-c", "from workbench.data import requests; print(len(requests()))", cwd=tmp_path)
    assert int(done.stdout) >= 20


def test_doctor_knows_the_tested_versions_and_itself_in_the_installed_package(installed, tmp_path):
    examine = "from workbench.doctor import doctor; print(doctor(only=['pins', 'sources']).to_json())"
    done = run(installed, "-P", "-c", examine, cwd=tmp_path)
    verdicts = {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    assert verdicts["pinned versions"] in ("pass", "warn")
    assert verdicts["installed workbench"] == "pass"


@pytest.mark.model
def test_toolsmith_can_be_measured_in_the_installed_package(installed, tmp_path):
    done = run(installed, "-m", "workbench", "damage", "--requests", "10", "--json", cwd=tmp_path)
    assert len(json.loads(done.stdout)["outcomes"]) == 10


@pytest.mark.model
def test_a_request_runs_in_the_installed_package(installed, tmp_path, demo_model):
    done = run(installed, "-m", "workbench", "trace", "hello", "--model", demo_model, "--json", cwd=tmp_path)
    assert "Paris" in json.loads(done.stdout)["parsed"]["content"]
