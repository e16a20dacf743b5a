"""`workbench doctor`: the contract of its JSON, its exit codes, its texts, and an interrupt."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.doctor.conftest import surroundings

pytestmark = [pytest.mark.xdist_group("doctor")]  # one whole examination for all


def run(*arguments, **environment):
    command = [sys.executable, "-m", "workbench", "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**surroundings(), **environment})


def test_another_machine_and_a_broken_one(examined, tmp_path):
    """One whole run: a machine without the demo model against the same one with it, which had another jinja2."""
    other = json.loads(examined.stdout)
    other["environment"]["versions"]["jinja2"] = "2.0"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    done = run("--against", path, GGUF_WORKBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert "demo model" in lines[0]
    assert "broken" in lines[0]
    assert any("python -m workbench.demo_model" in line for line in lines)
    assert any(line.startswith("rendering: ") and "none" not in line for line in lines)
    assert any("jinja2" in line and "2.0" in line for line in lines)


def test_json_keeps_the_contract(examined):
    assert examined.returncode == 0, examined.stdout
    assert examined.stderr == ""
    assert examined.stdout.count("\n") == 1
    facts = json.loads(examined.stdout)
    assert list(facts) == ["schema_version", "verdict", "checks", "environment"]
    assert all(list(check) == ["name", "verdict", "detail", "fix"] for check in facts["checks"])
    assert len({check["name"] for check in facts["checks"]}) == len(facts["checks"])
    environment = json.dumps(facts["environment"])
    assert os.path.expanduser("~") not in environment  # noqa: PTH111
    assert sys.prefix not in environment
    assert facts["environment"]["files"]["package jinja2"]["fingerprint"]


@pytest.mark.parametrize("content", [None, "{", '{"schema_version": 1}'])
def test_a_file_that_is_none_is_one_line(workbench, tmp_path, content):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    assert "other.json" in workbench("doctor", "--against", path, "--json").refused()


@pytest.mark.waits
def test_an_interrupt_is_one_line_and_leaves_nothing_running():
    command = [sys.executable, "-c", "import sys, workbench.cli; sys.exit(workbench.cli.main(['doctor', '--json']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None and not process.children():  # until it has asked another process
            time.sleep(0.01)
        children = process.children(recursive=True)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert child.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "workbench: interrupted"
    assert psutil.wait_procs(children, timeout=10)[1] == []
