"""Fingerprints: of the code that runs, and of nothing else."""

import shutil
from pathlib import Path

import workbench
from workbench.doctor.facts import code_fingerprint


def test_a_copy_of_the_package_is_the_same_and_a_changed_one_is_not(tmp_path):
    package = Path(workbench.__file__).parent
    copy = shutil.copytree(package, tmp_path / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "shipped").mkdir(exist_ok=True)
    (copy / "shipped/a.gguf").touch()  # as in a wheel
    assert code_fingerprint(copy) == code_fingerprint(package)
    with (copy / "tokens.py").open("a") as file:
        file.write("\n")
    assert code_fingerprint(copy) != code_fingerprint(package)
