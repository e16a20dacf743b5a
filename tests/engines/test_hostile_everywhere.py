"""Hostile templates on every engine: each is refused, stopped, or harmless, and the next render works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.hostile import GO, JINJA
from workbench.conversation import Conversation
from workbench.engines import Template, engine_named, render
from workbench.engines.limits import LIMIT_MIB

HELLO = Conversation.from_dict({"messages": [{"role": "user", "content": "Hello"}]})
ECHO = {"ollama": "{{ range .Messages }}{{ .Content }}{{ end }}"}
STOPPED = {"TimeLimit", "MemoryLimit", "RecursionError", "Crash"}
pytestmark = pytest.mark.slow
LARGEST = 64 * 1024 * 1024  # characters that a render may write without being stopped
# What other engines make of a template that jinja2 refuses is their affair, as long as nothing comes of it.
OTHERS = ("llama.cpp", "llama-cpp-python", pytest.param("llama-server", marks=pytest.mark.model), "llama.cpp-legacy")


def growth_mib(engine: str) -> float:
    """By how much the engine's process has ever grown beyond what it takes at rest, in MiB; 0 where it is gone."""
    from importlib import import_module

    module = import_module(type(engine_named(engine)).__module__)
    pid = module.sandbox().pid
    status = Path(f"/proc/{pid}/status")
    if pid is None or not status.exists():
        return 0.0
    found = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return (int(found["VmHWM"].split()[0]) - AT_REST.setdefault(pid, int(found["VmRSS"].split()[0]))) / 1024


AT_REST: dict[int, int] = {}


def outcome(engine: str, source: str) -> str | None:
    """The error's type, None where a text was written; the engine works before and after."""
    echo = Template(ECHO.get(engine, "<|im_start|>{{ messages[0].content }}"))
    expected = "Hello" if engine != "llama.cpp-legacy" else "<|im_start|>user\nHello"
    assert expected in (render(HELLO, echo, engine=engine).text or "")
    growth_mib(engine)
    found = render(HELLO, Template(source), engine=engine)
    assert (found.text is None) == (found.error is not None)
    assert len(found.text or "") < LARGEST
    assert growth_mib(engine) < LIMIT_MIB
    assert expected in (render(HELLO, echo, engine=engine).text or "")
    if found.error is None:
        return None
    assert found.error.message
    if found.error.type not in STOPPED and engine in ("transformers", "llama-cpp-python"):
        assert found.error.line is not None or "nested" in found.error.message, found.error
    return found.error.type


@pytest.mark.parametrize("name", JINJA)
def test_jinja2_refuses_or_stops_it(name: str) -> None:
    if outcome("transformers", JINJA[name]) is None:
        assert render(HELLO, Template(JINJA[name])).text == ""


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", JINJA)
def test_other_engines_come_to_no_harm(name: str, engine: str) -> None:
    outcome(engine, JINJA[name])


@pytest.mark.parametrize("name", GO)
def test_go_refuses_or_stops_it(name: str) -> None:
    assert outcome("ollama", GO[name]) is not None


def test_the_corpus_is_large_enough() -> None:
    assert len(JINJA) + len(GO) >= 60
