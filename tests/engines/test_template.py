"""Which template a setup and a model file lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.conversation import Conversation
from workbench.engines import Template, render, require_template, resolve_template
from workbench.errors import BadFile, CannotRun
from workbench.setup import Setup
from workbench.values import FrozenJSON


class Head:
    """A model file's header, as far as templates are concerned."""

    add_bos = None
    add_eos = None
    chat_template: str | None = "own"
    named_templates: dict[str, str] = {"tool_use": "with tools"}  # noqa: RUF012  read only
    special_tokens: dict[str, str] = {"bos_token": "<s>", "eos_token": "</s>"}  # noqa: RUF012  read only
    architecture = "llama"
    types = FrozenJSON({"tokenizer.ggml.tokens": "ARRAY[STRING]"})
    n_vocab = 4

    def get(self, key: str) -> Any:
        return {"count": 4} if key == "tokenizer.ggml.tokens" else None

    def array(self, key: str) -> list[Any]:
        assert key == "tokenizer.ggml.tokens"
        return [b"<unk>", b"<s>", b"</s>", b"<|end|>"]


class Bare(Head):
    chat_template = None
    named_templates: dict[str, str] = {}  # noqa: RUF012  read only


def resolved(head: Any = None, **setup: Any) -> Template:
    return resolve_template(Setup.from_dict(setup), head)


def test_the_models_own() -> None:
    template = resolved(Head(), model="m.gguf")
    assert (template.text, template.named, template.label) == ("own", (("tool_use", "with tools"),), "model")
    assert dict(template.special_tokens) == {"bos_token": "<s>", "eos_token": "</s>"}


def test_a_text_and_a_file_keep_the_models_special_tokens(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_bytes(b"\xef\xbb\xbfa\r\n{{ x }}\n")
    for source, text, label in (
        (f"file:{path}", "a\r\n{{ x }}\n", "file t.jinja"),
        ("text:{{ y }}", "{{ y }}", "text"),
    ):
        template = resolved(Head(), template={"source": source})
        assert (template.text, template.named, template.label) == (text, (), label)
        assert dict(template.special_tokens)["bos_token"] == "<s>"
    assert resolved(None, template={"source": "text:x"}).special_tokens == ()


def test_metadata_of_the_setup_wins() -> None:
    metadata = {
        "tokenizer.chat_template": "mine",
        "tokenizer.chat_template.tool_use": None,
        "tokenizer.chat_template.rag": "documents",
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.bos_token_id": None,
    }
    template = resolved(Head(), metadata=metadata)
    assert (template.text, template.named) == ("mine", (("rag", "documents"),))
    assert dict(template.special_tokens) == {"eos_token": "<|end|>"}


def test_no_template_says_what_to_do() -> None:
    bare = resolved(Bare(), model="m.gguf")
    assert (bare.text, bare.label) == ("", "none")
    with pytest.raises(CannotRun, match=r"m\.gguf has no chat template.*template\.source"):
        require_template(bare)
    removed = resolved(Head(), metadata={"tokenizer.chat_template": None, "tokenizer.chat_template.tool_use": None})
    with pytest.raises(CannotRun, match="has no chat template"):
        render(Conversation.from_dict({"messages": [{"role": "user", "content": "x"}]}), removed)
    with pytest.raises(BadFile, match="no file at"):
        resolved(None, template={"source": "file:/nowhere/t.jinja"})
