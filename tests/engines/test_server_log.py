"""Why a server did not start: the first error that it logged, in every way in which one can fail."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.data import toolsmith
from workbench.engines import Template, render
from workbench.engines.limits import Sandbox
from workbench.engines.server_log import reason_of
from workbench.errors import CannotRun
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.tokenizers.serve import llama_server

LOG = """\
0.00.001.575 W srv          init: security: no key
0.00.002.151 E llama_model_load: error loading model: unknown model architecture: 'x'
0.00.002.153 E llama_model_load_from_file_impl: failed to load model
0.00.005.717 E srv          init: exiting due to model loading error
"""
RAISED = """\
0.00.018.565 E srv          init: init: chat template parsing error: it failed:\x20
------------
While executing CallExpression at line 3, column 19 in source:
...{{ raise_exception('no') }}...
                     ^
Error: Jinja Exception: no
0.00.018.573 E srv          init: init: please consider another one
"""


def test_the_first_error_is_the_reason() -> None:
    assert reason_of(LOG) == ("error loading model: unknown model architecture: 'x'", None, None)
    assert reason_of(RAISED) == ("chat template parsing error: it failed: Jinja Exception: no", 3, 19)
    assert reason_of("Traceback\n  File x\nImportError: libx.so: no such file\n").words.startswith("ImportError: libx")
    assert reason_of("") == ("it wrote nothing", None, None)


@pytest.mark.parametrize(
    ("source", "reason", "place"),
    [
        ("{{ messages[0].content | replace('i', 'o', 1) }}", "NotImplemented: String replace with count", (None, None)),
        ("a\n{{ nothing(3) }}", "Callee is not a function", (2, 11)),
        ("a\n{{ raise_exception('first a user') }}", "first a user", (2, 19)),
        ("a\n\n{{ 1", "Expected }}", (3, 4)),
        ("a\n{{ 'b", "unexpected end of input", (2, 4)),
    ],
)
def test_a_template_that_a_server_refuses_has_the_servers_reason(
    source: str, reason: str, place: tuple[Any, Any]
) -> None:
    conversation = Conversation.from_dict({"messages": [{"role": "user", "content": "Hi"}]})
    error = render(conversation, Template(source), engine="llama-server").error
    assert error is not None
    assert error.type == "DoesNotStart"
    assert reason in error.message
    assert (error.line, error.column) == place


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"tokenizer.ggml.pre": "nonsense"}, "unknown pre-tokenizer type: 'nonsense'"),
        ({"general.architecture": "nonsense"}, "unknown model architecture: 'nonsense'"),
    ],
)
def test_a_file_that_a_server_refuses_has_the_servers_reason(metadata: dict[str, Any], reason: str) -> None:
    path = altered_copy(read_header(str(toolsmith())), metadata)
    with pytest.raises(CannotRun, match=reason), llama_server(path):
        pass


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libgone.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    box = Sandbox("workbench.engines.llama_server_worker")
    with pytest.raises(CannotRun, match=r"libgone\.so: cannot open shared object file"):
        box.render({}, b"{}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(CannotRun, match=r"libgone\.so: cannot open shared object file"), llama_server(toolsmith()):
        pass


PORT = """
import sys, xllamacpp
from workbench.engines.llama_server_worker import parameters
from workbench.engines.server_log import DidNotStart, started
found = parameters("", sys.argv[1], "a key")
found.port, found.reuse_port = int(sys.argv[2]), False
try:
    started(lambda: xllamacpp.Server(found))
except DidNotStart as error:
    print(error)
"""


def test_a_port_that_is_taken_is_named() -> None:
    import subprocess

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", PORT, str(toolsmith()), str(port)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {port}" in said


ENDS = """
import os, sys
from workbench.engines.serving import serve
class Ends:
    def __call__(self, options, body, send):
        print("the engine met something odd", file=sys.stderr, flush=True)
        os.abort()
def main():
    serve(Ends)
"""


def test_a_process_that_ends_in_a_render_has_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker_that_ends.py").write_text(ENDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    box = Sandbox("worker_that_ends")
    reply = box.render({}, b"{}")
    box.close()
    assert reply.plain["error"]["type"] == "Crash"
    assert "SIGABRT" in reply.plain["error"]["message"]
    assert "the engine met something odd" in reply.plain["error"]["message"]
