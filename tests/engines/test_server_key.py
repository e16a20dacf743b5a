"""The servers that are started here: one port on the loopback, a key that nobody else has, no page may read them."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from tests.engines.test_process import gone
from workbench.conversation import Conversation
from workbench.data import toolsmith
from workbench.engines import Template, render
from workbench.engines.llama_server import sandbox
from workbench.tokenizers import tokenizer_of
from workbench.tokenizers.serve import key_of, llama_server

BODY = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "content": "Hi"})
ORIGINS = ["http://evil.example", "http://localhost:8888", "null"]
ASKED = [
    ("POST", "/apply-template"),
    ("POST", "/tokenize"),
    ("POST", "/completion"),
    ("GET", "/props"),
    ("GET", "/slots"),
]


def listening(pid: int) -> list[psutil._common.pconn]:
    return [one for one in psutil.Process(pid).net_connections("inet") if one.status == psutil.CONN_LISTEN]


def rendered(source: str) -> str | None:
    hello = Conversation.from_dict({"messages": [{"role": "user", "content": "Hi"}]})
    return render(hello, Template(source), engine="llama-server").text


def engine_address() -> str:
    assert rendered("{{ messages[0].content }}") == "Hi"
    pid = sandbox().pid
    assert pid is not None
    port = listening(pid)[0].laddr.port
    return f"http://127.0.0.1:{port}"


@pytest.fixture(params=["engine", "tokenizer"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that the engine has started, and of one that the tokenizers start."""
    if request.param == "engine":
        yield engine_address()
        return
    with llama_server(toolsmith()) as started:
        yield started


def asked(address: str, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    connection.request(method, path, BODY if method == "POST" else None, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_without_the_key_nothing_is_answered(address: str) -> None:
    for method, path in ASKED:
        assert asked(address, method, path).status == 401, path
        assert asked(address, method, path, Authorization="Bearer x").status == 401, path


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
def test_no_page_may_read_an_answer(address: str, method: str) -> None:
    for origin in ORIGINS:
        for path in ("/apply-template", "/health", "/"):
            answer = asked(address, method, path, Origin=origin)
            assert answer.getheader("Access-Control-Allow-Origin") is None, (origin, path)


def test_the_engine_has_one_port_on_the_loopback_whatever_it_rendered() -> None:
    for source in ("a{{ messages[0].content }}", "b{{ messages[0].content }}", "{{ broken", "c"):
        rendered(source)
        pid = sandbox().pid
        assert pid is not None
        sockets = listening(pid)
        assert [one.laddr.ip for one in sockets] == ["127.0.0.1"] * len(sockets)
        assert len(sockets) <= 1
    assert len(sockets) == 1


def test_the_key_is_new_each_time_and_known_to_its_tokenizer_alone() -> None:
    keys = []
    for _ in range(2):
        with llama_server(toolsmith()) as started:
            keys.append(key_of(started))
            assert asked(started, "POST", "/tokenize", Authorization=f"Bearer {keys[-1]}").status == 200
            with tokenizer_of(started) as tokenizer:
                assert len(tokenizer.tokenize("Hi")) > 0
            for child in psutil.Process().children(recursive=True):
                assert keys[-1] not in " ".join(child.cmdline()), child
                assert keys[-1] not in str(child.environ()), child
        assert key_of(started) is None
    assert keys[0] != keys[1]
    assert all(key and len(key) > 30 for key in keys)


OWNER = """
import os, psutil, sys, time
from workbench.data import toolsmith
from workbench.tokenizers.serve import llama_server
with llama_server(toolsmith()):
    print(psutil.Process().children()[0].pid, flush=True)
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    sys.stdin.read()
"""


def test_a_server_ends_with_a_killed_owner_that_has_forked() -> None:
    """The fork holds the pipe, so its end never comes."""
    command = [sys.executable, "-W", "ignore", "-c", OWNER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout
        server = int(owner.stdout.readline())
        forked = [one for one in psutil.Process(owner.pid).children() if one.pid != server]
        owner.kill()
        owner.wait()
        try:
            assert gone(server, 10.0)
        finally:
            for one in forked:
                one.kill()


STOPPED_AT_ONCE = """
import sys
sys.argv = ["worker", "512", "2.0"]
from workbench.data import toolsmith
from workbench.engines.llama_server_worker import Answers
answers = Answers()
for number in range(200):
    answers._ready(f"{number}", str(toolsmith()))
print("ended")
"""


def test_servers_that_are_stopped_as_soon_as_they_are_up_end() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED_AT_ONCE], capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[-1:] == ["ended"], done
