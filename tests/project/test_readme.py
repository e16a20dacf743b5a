"""The README tells the truth: its file tree, its links, its commands; the binder folder knows every dependency."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_tree_is_that_of_the_files():
    done = subprocess.run([sys.executable, ROOT / "tools/readme_tree.py", "--check"])
    assert done.returncode == 0, "run: python tools/readme_tree.py"


def test_every_link_leads_to_a_file():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if "://" not in target and not (ROOT / target).is_file()] == []


@pytest.mark.parametrize("target", ["setup", "lab", "test", "check", "bench", "notebooks", "toolsmith", "clean"])
def test_every_make_target_is_there(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_command_has_its_line():
    from workbench.cli.main import COMMANDS

    assert [command.NAME for command in COMMANDS if f"| `workbench {command.NAME} " not in README] == []


def test_the_readmes_answer_is_the_real_one(demo_model):
    command = [sys.executable, "-m", "workbench", "trace", "hello", "--model", demo_model]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    example = re.search(r"\$ workbench trace hello --model demo\n(.*?)```", README, re.DOTALL)[1]
    assert "Paris" in shown  # not the whole answer: another processor's rounding may word it differently
    for line in ("Parsed      as plain", "    messages[0].content  characters   37"):
        assert line in example.splitlines()
        assert line in shown.splitlines()


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements):
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


def test_binder_has_what_the_notebooks_need():
    environment = yaml.safe_load((ROOT / "binder/environment.yml").read_text())
    needed = names(project()["dependencies"]) | names(project()["optional-dependencies"]["lab"])
    assert needed <= names(environment["dependencies"])


def test_every_dependency_is_pinned_and_no_registry_is_named():
    constraints = (ROOT / "constraints.txt").read_text()
    pinned = {line.split("==")[0].replace("_", "-") for line in constraints.splitlines() if "==" in line}
    extras = project()["optional-dependencies"]
    needed = names(project()["dependencies"]) | set().union(*(names(extra) for extra in extras.values()))
    assert needed <= pinned
    for line in constraints.splitlines():
        assert re.fullmatch(r"#.*|[\w.-]+==[\w.+!]+", line), line
