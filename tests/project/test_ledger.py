"""A skip for a reason that the ledger does not have fails its test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger import NoReason, allowed

ROOT = Path(__file__).parents[2]


def run(tmp_path, text):
    """What pytest says of a file with `text`, and its exit code."""
    (tmp_path / "test_it.py").write_text("import pytest\n" + text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--disable-plugin-autoload",
        "-p",
        "tests.ledger",
        "-c",
        os.devnull,
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout


UNKNOWN = [
    "@pytest.mark.skip(reason='no time')\ndef test_it(): ...",
    "def test_it():\n    pytest.skip('no time')",
    "@pytest.fixture\ndef given():\n    pytest.skip('no time')\ndef test_it(given): ...",
    "pytest.skip('no time', allow_module_level=True)",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_reason_that_is_not_listed_fails(tmp_path, text):
    code, said = run(tmp_path, text)
    assert code != 0
    assert "skipped for a reason that tests/skips.toml does not list: no time" in said


def test_a_reason_that_is_listed_is_a_skip_and_so_is_none_at_all(tmp_path):
    reason = allowed()[0].replace("*", "phi-3")
    code, said = run(tmp_path, f"def test_it():\n    pytest.skip({reason!r})\ndef test_that(): ...")
    assert (code, "1 passed, 1 skipped" in said) == (0, True)
    code, said = run(tmp_path, "@pytest.mark.xfail\ndef test_it():\n    raise ValueError")
    assert (code, "1 xfailed" in said) == (0, True)


@pytest.mark.parametrize("text", ['[[skip]]\nreason = "x"', '[[skip]]\ngoes_when = "x"'])
def test_an_entry_says_why_and_until_when(tmp_path, text):
    (tmp_path / "skips.toml").write_text(text)
    with pytest.raises(NoReason):
        allowed(tmp_path / "skips.toml")
