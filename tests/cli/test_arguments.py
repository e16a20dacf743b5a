"""A user's mistake is one line on stderr and exit code 2, whichever it is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MISTAKES = [
    ((), "no command was given"),
    (("explode",), "invalid choice: 'explode'"),
    (("trace",), "REQUEST"),
    (("trace", "hello", "--modle", "x"), "unrecognized arguments: --modle"),
    (("trace", "hello", "--mod", "x"), "unrecognized arguments: --mod"),
    (("trace", "hello"), "no model was named"),
    (("render", "hello"), "--template F"),
    (("render", "hello", "--template", "none.jinja"), "no file at none.jinja"),
    (("trace", "hello", "--model", "none.gguf"), "none.gguf"),
    (("trace", "hello", "--model", "."), "directory"),
    (("trace", "none.json", "--model", "demo"), "no file at none.json"),
    (("trace", "x" * 5000, "--model", "demo"), "cannot be read: File name too long"),
    (("trace", "hello", "--model", "a", "--setup", "b"), "both --model and --setup"),
    (("trace", "hello", "--setup", "none.json"), "no file at none.json"),
    (("trace", "hello", "--model", "demo", "--until", "dinner"), "invalid choice: 'dinner'"),
    (("trace", "hello", "--model", "demo", "--date", "yesterday"), "ISO time"),
    (("render", "hello", "--model", "demo", "--engine", "word"), "invalid choice: 'word'"),
    (("inspect", "none.gguf"), "none.gguf"),
    (("inspect", "/dev/null"), "/dev/null"),
    (("inspect", "a\nb.gguf"), "a\\nb.gguf"),
]


@pytest.mark.model
@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_mistake_is_one_line(workbench, tmp_path, arguments, words, form):
    ran = workbench(*arguments, *(["--json"] if form == "json" and arguments else []), cwd=tmp_path)
    assert words in ran.refused()


BAD_REQUESTS = [
    (b"not json", "is not JSON"),
    (b"[]", "is a JSON list"),
    (b"{}", 'no "messages"'),
    (b'{"messages": []}', '"messages" is empty'),
    (b'{"messages": ["hi"]}', "messages[0] is a JSON text"),
    (b"\xff\xfe", "not UTF-8"),
    (b'{"messages": [{"role": "user", "content": NaN}]}', "NaN is not a JSON number"),
    (b'{"messages":' + b"[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("body", "words"), BAD_REQUESTS)
def test_a_bad_request_is_one_line_from_a_file_and_from_standard_input(workbench, tmp_path, template_file, body, words):
    path = tmp_path / "bad.json"
    path.write_bytes(body)
    assert words in workbench("render", path, "--template", template_file).refused()
    assert words in workbench("render", "-", "--template", template_file, stdin=body).refused()


def test_standard_input_that_does_not_end_is_left(template_file):
    command = [sys.executable, "-m", "workbench", "render", "-", "--template", str(template_file)]
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(command, stdin=endless, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "standard input is longer than 256 MiB; expected a chat request" in done.stderr


BAD_SETUPS = [
    ('{"model": 3}', '"model" is 3'),
    ('{"modell": "x"}', '"modell" is no key of setup'),
    ('{"runtime": {"n_ctxx": 1}}', '"n_ctxx" is no key of runtime'),
    ('{"runtime": {"n_ctx": -1}}', "runtime.n_ctx is -1"),
    ('{"template": {"engine": "word"}}', "template.engine"),
    ('{"parser": "xml", "model": "demo"}', "parser"),
    ("{", "is not JSON"),
    ("{}", "no model was named"),
]


@pytest.mark.parametrize(("text", "words"), BAD_SETUPS)
def test_a_bad_setup_is_one_line(workbench, tmp_path, request_file, demo_model, text, words):
    path = tmp_path / "setup.json"
    path.write_text(text.replace("demo", str(demo_model)))
    assert words in workbench("trace", request_file, "--setup", path).refused()


@pytest.mark.parametrize("command", [[], ["inspect"], ["render"], ["trace"], ["lab"]])
def test_help_is_on_stdout_with_examples(workbench, command):
    ran = workbench(*command, "--help")
    assert ran.code == 0
    assert "examples:" in ran.out
    assert ran.err == ""


def test_the_console_command_is_the_module(workbench):
    import workbench as package

    command = Path(sys.executable).with_name("workbench")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == workbench("--version").out == f"workbench {package.__version__}\n"


def test_a_reader_that_leaves_ends_it_quietly(request_file, template_file):
    command = [sys.executable, "-m", "workbench", "render", request_file, "--template", template_file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_full_output_device_is_said_not_lost(request_file, template_file):
    command = [sys.executable, "-m", "workbench", "render", request_file, "--template", template_file]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.model
def test_ctrl_c_ends_it_with_one_line_and_no_process_left(demo_model, tmp_path):
    import json
    import time

    import psutil

    path = tmp_path / "long.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "word " * 3000}], "max_tokens": 900}))
    command = [sys.executable, "-m", "workbench", "trace", path, "--model", demo_model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    watched = psutil.Process(process.pid)
    deadline = time.monotonic() + 60
    while not (children := watched.children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2)
    children = watched.children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"workbench: interrupted\n")
    assert psutil.wait_procs(children, timeout=10)[1] == []
