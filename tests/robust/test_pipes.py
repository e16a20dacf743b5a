"""Pipes in place of files: read as files are, waited for with a word and an end by Ctrl-C, never taken for a model."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from workbench.conversation import Conversation
from workbench.data import requests, templates, toolsmith
from workbench.errors import BadFile
from workbench.gguf.header import read_header
from workbench.runtime.process import child_environment
from workbench.setup import Setup
from workbench.waiting import NOTICE_S

HELLO = requests()["hello"]


def workbench(*arguments, **options):
    """The command line in a process of its own, its three streams as pipes."""
    command = [sys.executable, "-m", "workbench", *map(str, arguments)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, text=True, env=child_environment(), **(pipes | options))


@contextlib.contextmanager
def written(text):
    """The path of a pipe through which `text` comes, as a shell makes one of `<(…)`."""
    end, start = os.pipe()

    def write():
        with contextlib.suppress(BrokenPipeError), os.fdopen(start, "w") as file:  # what nobody reads is not wanted
            file.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    yield f"/dev/fd/{end}"
    os.close(end)
    writer.join()


def test_request_template_and_setup_may_come_through_pipes(tmp_path):
    setup = tmp_path / "setup.json"
    setup.write_text(json.dumps({"model": str(toolsmith())}))
    with written(HELLO.read_text()) as request, written(setup.read_text()) as pipe:
        expected = Conversation.from_file(HELLO)
        assert Conversation.from_file(request) == expected
        assert Setup.from_file(pipe) == Setup.from_file(setup)
    with written(templates()["chatml"].read_text()) as template:
        ends = {"pass_fds": [int(template.rpartition("/")[2])]}
        out, said = workbench("render", HELLO, "--template", template, "--json", **ends).communicate()
        assert said == ""
    with workbench("render", HELLO, "--template", "chatml", "--json") as plain:
        assert [r["text"] for r in json.loads(out)["renders"]] == [
            r["text"] for r in json.loads(plain.stdout.read())["renders"]
        ]


@pytest.mark.waits
@pytest.mark.parametrize("given", ["-", "request"])
def test_what_is_waited_for_is_told_and_an_interrupt_ends_it(tmp_path, given):
    pipe = tmp_path / "request"
    os.mkfifo(pipe)
    name = "standard input" if given == "-" else str(pipe)
    with workbench("render", given if given == "-" else pipe, "--template", "chatml") as waiting:
        assert waiting.stderr.readline() == (
            f"workbench: waiting for a chat request from {name}: nothing has come for {NOTICE_S:g} s; "
            "Ctrl-C ends this\n"
        )
        waiting.send_signal(signal.SIGINT)
        assert waiting.stderr.read() == "workbench: interrupted\n"
        assert waiting.stdout.read() == ""
        assert waiting.wait() == 130


def test_a_text_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr("workbench.conversation.MOST_BYTES", 1 << 20)
    with pytest.raises(BadFile, match="/dev/zero is longer than 1 MiB"):
        Conversation.from_file("/dev/zero")


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder", "a pipe of a shell"])
def test_a_model_is_a_file(tmp_path, kind):
    path = {"a device": "/dev/zero", "a folder": tmp_path}.get(kind, tmp_path / "model.gguf")
    with contextlib.ExitStack() as stack:
        if kind == "a pipe":
            os.mkfifo(path)
        if kind == "a pipe of a shell":
            path = stack.enter_context(written("GGUF"))
        with pytest.raises(BadFile, match=f"{path} is (no regular file|a directory); accepted is a GGUF file"):
            read_header(path)
