"""The rendering process: it dies and comes back, ends with its parent, and takes turns between threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.conversation import Conversation
from workbench.engines import ENGINES, Template, engine_named, render
from workbench.engines.limits import Sandbox
from workbench.engines.transformers import sandbox
from workbench.errors import Cancelled, WorkbenchError
from workbench.progress import Cancel
from workbench.setup import ENGINE_NAMES

HELLO = Conversation.from_dict({"messages": [{"role": "user", "content": "Hello"}]})
ECHO = Template("{{ messages[0].content }}")
SOON = Template("{% for i in range(600) %}{% for j in range(999) %}{% endfor %}{% endfor %}SOON")
LOOP = Template("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}")


def gone(pid: int, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split(maxsplit=1)[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_the_process_stays_warm() -> None:
    render(HELLO, ECHO)
    pid = sandbox().pid
    render(HELLO, ECHO)
    assert sandbox().pid == pid


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_process_killed_between_renders_is_replaced(how: signal.Signals) -> None:
    render(HELLO, ECHO)
    pid = sandbox().pid
    assert pid
    os.kill(pid, how)
    assert gone(pid, 5)
    assert render(HELLO, ECHO).text == "Hello"
    assert sandbox().pid != pid


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_killed_in_a_render_is_an_error_value(how: signal.Signals) -> None:
    render(HELLO, ECHO)
    pid = sandbox().pid
    assert pid
    threading.Timer(0.3, os.kill, (pid, how)).start()
    result = render(HELLO, LOOP)
    assert result.error
    assert result.error.type == "Crash"
    assert how.name in result.error.message
    assert render(HELLO, ECHO).text == "Hello"


def test_a_render_can_be_cancelled() -> None:
    cancel = Cancel()
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        render(HELLO, LOOP, cancel=cancel)
    assert time.monotonic() - began < 0.7
    assert render(HELLO, ECHO).text == "Hello"


def test_a_cancelled_render_that_ends_soon_keeps_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody types faster than a template renders."""
    monkeypatch.setattr("workbench.engines.limits._FINISH_S", 30.0)
    render(HELLO, ECHO)
    pid = sandbox().pid
    for index in range(2):
        cancel = Cancel()
        cancel.set()  # it is seen a moment after the request was sent
        with pytest.raises(Cancelled):
            render(HELLO, SOON, cancel=cancel)
        result = render(HELLO, Template(f"{index} {{{{ messages[0].content }}}}"))
        assert (result.text, result.spans[-1].path) == (f"{index} Hello", "messages[0].content")
    assert sandbox().pid == pid


def test_a_cancelled_render_that_goes_on_gives_way_to_the_next() -> None:
    render(HELLO, ECHO)
    pid = sandbox().pid
    cancel = Cancel()
    threading.Timer(0.05, cancel.set).start()
    with pytest.raises(Cancelled):
        render(HELLO, LOOP, cancel=cancel)
    assert render(HELLO, ECHO).text == "Hello"
    assert sandbox().pid != pid


@pytest.mark.waits
def test_a_render_in_the_queue_can_be_cancelled() -> None:
    render(HELLO, ECHO)
    other = threading.Thread(target=render, args=(HELLO, LOOP))
    other.start()
    time.sleep(0.1)
    cancel = Cancel()
    threading.Timer(0.1, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        render(HELLO, ECHO, cancel=cancel)
    assert time.monotonic() - began < 0.6
    assert render(HELLO, ECHO).text == "Hello"  # behind the loop, whose two seconds are not this one's
    other.join()


SLOW_FIRST = Template("{% for i in range(1200) %}{% for j in range(999) %}{% endfor %}{% endfor %}FIRST")


def interrupted(template: Template, delay_s: float) -> None:
    """Render under Ctrl+C, as a notebook's stop button sends it."""
    threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT)).start()
    render(HELLO, template)
    time.sleep(5)  # on a fast machine the interrupt comes here


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.003, 0.02, 0.05, 0.15, 0.3, 0.5])
def test_after_an_interrupt_the_next_renders_are_their_own(delay_s: float) -> None:
    render(HELLO, ECHO)
    with pytest.raises(KeyboardInterrupt):
        interrupted(SLOW_FIRST, delay_s)
    for index in range(3):
        result = render(HELLO, Template(f"NEXT{index} {{{{ messages[0].content }}}}"))
        assert result.text == f"NEXT{index} Hello"
        assert result.spans[-1].path == "messages[0].content"


def test_an_interrupt_ends_the_render_in_the_process() -> None:
    render(HELLO, ECHO)
    pid = sandbox().pid
    assert pid
    with pytest.raises(KeyboardInterrupt):
        interrupted(LOOP, 0.1)
    assert gone(pid, 0.5)


def test_a_process_killed_just_before_a_render_costs_nothing() -> None:
    for _ in range(5):
        render(HELLO, ECHO)
        pid = sandbox().pid
        assert pid
        os.kill(pid, signal.SIGKILL)  # and not waited for: its end may not have been seen yet
        result = render(HELLO, ECHO)
        assert (result.text, result.error) == ("Hello", None)


def test_threads_get_their_own_answers() -> None:
    def one(index: int) -> bool:
        conversation = Conversation.from_dict({"messages": [{"role": "user", "content": f"message {index}"}]})
        if index % 10 == 0:
            return render(conversation, Template("{{ raise_exception('x') }}")).error is not None
        return (
            render(conversation, Template(f"{index % 7}: {{{{ messages[0].content }}}}")).text
            == f"{index % 7}: message {index}"
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))


PARENT = """
import sys, threading
from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.transformers import sandbox
from workbench.engines.limits import Sandbox
Sandbox.__init__.__kwdefaults__["limit_s"] = 0.4
hello = Conversation.from_dict({"messages": [{"role": "user", "content": "Hello"}]})
render(hello, Template("x"))
print(sandbox().pid, flush=True)
if sys.argv[1] == "busy":
    threading.Thread(target=render, args=(hello, Template(sys.argv[2]))).start()
    print("busy", flush=True)
sys.stdin.read()
"""


@pytest.mark.waits
@pytest.mark.parametrize("state", ["idle", "busy", "busy in C"])
def test_the_process_ends_with_a_killed_parent(state: str) -> None:
    source = "{{ 10 ** (10 ** 9) }}" if state == "busy in C" else LOOP.text
    command = [sys.executable, "-c", PARENT, state.split(maxsplit=1)[0], source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        if state != "idle":
            parent.stdout.readline()
            time.sleep(0.2)
        parent.kill()
        parent.wait()
        assert gone(child, 60.0)


def test_an_idle_process_ends_with_a_killed_parent_that_has_forked() -> None:
    """The fork holds the pipe, so its end never comes."""
    forking = PARENT.replace("sys.stdin.read()", "import os, time; print(os.getpid() if os.fork() else 0, flush=True)")
    forking += "time.sleep(20)\n"
    command = [sys.executable, "-W", "ignore", "-c", forking, "idle"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.stdout.readline()
        parent.kill()
        parent.wait()
        try:
            assert gone(child, 4.0)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.waits
def test_a_render_may_wait_for_its_processor() -> None:
    """A process that is stopped for longer than its limit, as one is where other programs have the machine."""
    box = Sandbox(limit_s=2.0)
    options = {"template": SOON.text, "special": {}, "clock": "2024-01-01T00:00:00", "track": False}
    body = HELLO.body.text.encode()
    assert box.render(options, body).text == "SOON"
    assert box.pid
    threading.Timer(2.5, os.kill, (box.pid, signal.SIGCONT)).start()
    os.kill(box.pid, signal.SIGSTOP)
    assert box.render(options, body).text == "SOON"
    box.close()


@pytest.mark.waits
def test_a_render_that_only_waits_is_ended_too() -> None:
    box = Sandbox(limit_s=0.05)
    options = {"template": "x", "special": {}, "clock": "2024-01-01T00:00:00", "track": False}
    box.render(options, HELLO.body.text.encode())
    assert box.pid
    os.kill(box.pid, signal.SIGSTOP)
    reply = box.render(options, HELLO.body.text.encode())
    assert (reply.text, reply.plain["error"]["type"]) == (None, "TimeLimit")
    assert "did not end within 1.5 s" in reply.plain["error"]["message"]
    box.close()


def test_the_process_ends_with_a_parent_that_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, "idle"], input="", capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    assert gone(int(done.stdout), 1.0)


def test_the_process_loads_nothing_heavy() -> None:
    code = (
        "import sys, workbench.engines.worker\n"
        "print([name for name in ('numpy', 'pandas', 'llama_cpp', 'transformers', 'plotly') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_fork_of_this_process_gets_a_process_of_its_own() -> None:
    render(HELLO, ECHO)
    code = (
        "import os\n"
        "from workbench.conversation import Conversation\n"
        "from workbench.engines import Template, render\n"
        "from workbench.engines.transformers import sandbox\n"
        "c = Conversation.from_dict({'messages': [{'role': 'user', 'content': 'Hello'}]})\n"
        "render(c, Template('x')); mine = sandbox().pid\n"
        "child = os.fork()\n"
        "text = render(c, Template('y')).text\n"
        "same = sandbox().pid == mine\n"
        "if not child: os._exit(0 if text == 'y' and not same else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0 and text == 'y' and same\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_engines_are_known_names_and_unknown_ones_are_refused() -> None:
    assert {engine.name for engine in ENGINES} <= set(ENGINE_NAMES)
    assert "jinja2" in engine_named("transformers").version()
    with pytest.raises(WorkbenchError, match="available: transformers"):
        render(HELLO, ECHO, engine="nothing")
    with pytest.raises(WorkbenchError, match="ISO time"):
        render(HELLO, ECHO, clock="yesterday")
