"""A running llama-server, small vocabularies, and a cache of the test run's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gguf import tiny
from workbench import data
from workbench.tokenizers.serve import llama_server

SHARED = Path(__file__).parents[3] / "shared" / "data" / "vocab"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def toolsmith() -> Path:
    return data.toolsmith()


@pytest.fixture(scope="session")
def toolsmith_json() -> Path:
    return Path(__file__).parents[2] / "data/toolsmith/tokenizer.json"


@pytest.fixture(scope="session")
def tiny_bpe(tmp_path_factory) -> Path:
    return tiny.vocabulary_file(tmp_path_factory.mktemp("bpe") / "bpe.gguf", "bpe")


@pytest.fixture(scope="session")
def tiny_spm(tmp_path_factory) -> Path:
    return tiny.vocabulary_file(tmp_path_factory.mktemp("spm") / "spm.gguf", "spm")


@pytest.fixture(scope="session")
def server(toolsmith) -> Iterator[str]:
    """The address of a llama-server with toolsmith."""
    with llama_server(toolsmith) as address:
        yield address


def published(name: str) -> Path:
    """A vocabulary of a published model, where the machine has them."""
    path = SHARED / f"ggml-vocab-{name}.gguf"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout; it goes when the vocabulary is packaged")
    return path
