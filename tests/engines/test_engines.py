"""The list of engines: every name of a setup has one, and one that is not installed says what installs it."""

from __future__ import annotations

import pytest

from workbench.conversation import Conversation
from workbench.engines import ENGINES, Template, engine_named, render
from workbench.errors import CannotRun
from workbench.setup import ENGINE_NAMES

HELLO = Conversation.from_dict({"messages": [{"role": "user", "content": "Hello"}]})


def test_every_name_has_its_engine() -> None:
    assert tuple(engine.name for engine in ENGINES) == ENGINE_NAMES
    assert all(engine.missing() is None for engine in ENGINES), "the test environment has them all"
    assert all(engine.version() for engine in ENGINES)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_one_that_is_not_installed_says_what_installs_it(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(engine).__module__
    monkeypatch.setattr(f"{module}.find_spec", lambda name: None)
    with pytest.raises(CannotRun, match=r"is not installed; install it: pip install "):
        engine_named(engine.name)


def test_a_program_that_is_not_compiled_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("workbench.engines.ollama.module_path", lambda: tmp_path / "nothing")
    with pytest.raises(CannotRun, match=r"-m workbench\.ollama_engine"):
        engine_named("ollama")


def test_an_unknown_name_lists_the_others() -> None:
    with pytest.raises(CannotRun, match=r"available: transformers, llama\.cpp"):
        engine_named("minja")


SHORT = "{{ messages[0].content }}"
LONG = "{% if x is defined %}y{% endif %}" * 200 + SHORT  # followed in a process of its own


@pytest.mark.parametrize("source", [SHORT, LONG], ids=["short", "long"])
def test_a_text_is_told_while_its_origins_are_still_followed(source: str) -> None:
    told: list[str] = []
    found = render(HELLO, Template(source), on_text=told.append)
    assert (told, found.text) == (["Hello"], "Hello")
    assert found.spans[-1].path == "messages[0].content"
    failed = render(HELLO, Template(source + "{{ raise_exception('no') }}"), on_text=told.append)
    assert failed.error is not None
    assert told == ["Hello"]


@pytest.mark.waits
def test_a_text_whose_origins_never_come_was_told() -> None:
    """Backwards through 40,000 pieces: milliseconds for the text, minutes for its origins."""
    told: list[str] = []
    source = "{{ ((messages[0].content * 40000)[::-1])[:5] }}"
    found = render(HELLO, Template(source), on_text=told.append)
    assert (told, found.text) == (["olleH"], "olleH")
