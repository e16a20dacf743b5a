"""Metadata overrides: which way each goes, what really arrives, and that the user's file stays as it is."""

import hashlib
import os
import time

import pytest

from tests.gguf import tiny
from workbench.errors import BadRequest, Cancelled, CannotRun
from workbench.gguf import altered
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.gguf.overrides import split_overrides
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path):
    return tiny.model_file(tmp_path / "tiny.gguf")


@pytest.mark.parametrize(
    ("metadata", "live", "copied"),
    [
        ({"tokenizer.ggml.add_bos_token": True}, ["tokenizer.ggml.add_bos_token"], []),
        ({"tokenizer.ggml.add_bos_token": False}, [], []),  # as the file says already
        ({"tokenizer.ggml.add_eos_token": True}, ["tokenizer.ggml.add_eos_token"], []),
        ({"tokenizer.ggml.pre": "llama-bpe"}, ["tokenizer.ggml.pre"], []),
        ({"tokenizer.ggml.pre": "x" * 128}, [], ["tokenizer.ggml.pre"]),
        ({"tokenizer.ggml.bos_token_id": 2}, ["tokenizer.ggml.bos_token_id"], []),
        ({"tokenizer.ggml.bos_token_id": None}, [], ["tokenizer.ggml.bos_token_id"]),
        ({"tokenizer.ggml.tokens": ["a"]}, [], ["tokenizer.ggml.tokens"]),
        ({"tokenizer.chat_template": "x" * 500, "tokenizer.chat_template.tool_use": "y"}, [], []),
        ({"llama.rope.freq_base": 10000}, ["llama.rope.freq_base"], []),
        ({"llama.context_length": 99}, ["llama.context_length"], []),
        ({"llama.attention.sliding_window": 64}, [], ["llama.attention.sliding_window"]),
        ({"general.author": "me"}, [], ["general.author"]),
        ({"no.such.key": None}, [], []),
    ],
)
def test_the_way_of_each_override(model, metadata, live, copied):
    ways = split_overrides(read_header(model), metadata)
    assert (list(ways.live), list(ways.copied)) == (live, copied)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"general.alignment": 64}, "cannot be replaced"),
        ({"a.b": "x\0y"}, "NUL"),
        ({"a.b": ["\ud800"]}, "lone surrogate"),
        ({"a.b": 2**64}, "64 bits"),
        ({"": 1}, "0 bytes"),
        ({"a.b": float("inf")}, "not finite"),
    ],
)
def test_what_gguf_cannot_hold(model, metadata, words):
    with pytest.raises(BadRequest, match=words):
        split_overrides(read_header(model), metadata)


def test_a_copy_says_what_was_changed_and_holds_the_same_tensors(model):
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    header = read_header(model)
    changes = {
        "tokenizer.ggml.token_type": [3] * 267,
        "llama.attention.layer_norm_rms_epsilon": 1,
        "general.name": "größer" * 40,
        "new.flag": True,
        "new.list": [1.5, 2],
        "new.negative": -5,
        "new.texts": ["a", "é"],
        "tokenizer.chat_template": None,
    }
    seen = []
    path = altered_copy(header, changes, progress=lambda *a: seen.append(a))
    copy = read_header(path)
    types = copy.types.value()
    assert copy.array("tokenizer.ggml.token_type") == [3] * 267
    assert types["tokenizer.ggml.token_type"] == "ARRAY[INT32]"
    assert (copy.get("llama.attention.layer_norm_rms_epsilon"), copy.name) == (1.0, "größer" * 40)
    assert types["llama.attention.layer_norm_rms_epsilon"] == "FLOAT32"
    assert (copy.get("new.flag"), copy.get("new.list"), copy.get("new.negative")) == (True, [1.5, 2.0], -5)
    assert copy.array("new.texts") == ["a", "é"]
    assert copy.chat_template is None
    assert [t[:3] for t in copy.tensors] == [t[:3] for t in header.tensors]
    source, written = model.read_bytes(), path.read_bytes()
    for ours, theirs in zip(copy.tensors, header.tensors, strict=True):
        a, b = copy.data_offset + ours.offset, header.data_offset + theirs.offset
        assert written[a : a + ours.nbytes] == source[b : b + theirs.nbytes]
    assert seen[-1][1] == seen[-1][2]
    assert hashlib.sha256(model.read_bytes()).hexdigest() == before
    stamp = path.stat().st_mtime_ns
    assert altered_copy(header, changes) == path
    assert path.stat().st_mtime_ns == stamp  # made once
    assert [p.suffix for p in path.parent.iterdir()] == [".gguf"]


def test_a_vocabulary_copy_has_no_tensors(model):
    path = altered_copy(read_header(model), {"new.key": 1}, tensors=False)
    assert not read_header(path).has_weights
    assert path.stat().st_size < model.stat().st_size / 2


def test_no_room_and_a_cancel_leave_nothing_behind(model, monkeypatch, tmp_path):
    header = read_header(model)
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        altered_copy(header, {"a": 1}, cancel=cancel)
    monkeypatch.setattr(altered, "SPARE_BYTES", 1 << 60)
    with pytest.raises(CannotRun, match="GGUF_WORKBENCH_CACHE"):
        altered_copy(header, {"a": 1})
    assert list((tmp_path / "cache" / "altered").iterdir()) == []


def test_only_the_copies_used_last_are_kept(model, monkeypatch):
    monkeypatch.setattr(altered, "KEPT_COPIES", 3)
    header = read_header(model)
    old = [altered_copy(header, {"a": n}) for n in range(4)]
    assert all(path.exists() for path in old)  # used within the last minute
    for hours, path in enumerate(reversed(old), 2):
        os.utime(path, (time.time() - hours * 3600,) * 2)
    assert altered_copy(header, {"a": 0}) == old[0]  # the oldest is used again
    new = altered_copy(header, {"a": "new"})
    assert sorted(old[0].parent.iterdir()) == sorted([new, old[0], old[3]])


def test_copies_are_kept_up_to_a_size(model, monkeypatch):
    monkeypatch.setattr(altered, "KEPT_BYTES", int(2.5 * model.stat().st_size))
    header = read_header(model)
    old = [altered_copy(header, {"a": n}) for n in range(3)]
    for hours, path in enumerate(reversed(old), 2):
        os.utime(path, (time.time() - hours * 3600,) * 2)
    new = altered_copy(header, {"a": "new"})
    assert sorted(old[0].parent.iterdir()) == sorted([new, old[2]])


def ids(path, text, **metadata):
    with Host(Setup.from_dict({"model": str(path), "metadata": metadata})) as host:
        alone = host.tokenize(text).ids.tolist()
        host.load()
        assert host.tokenize(text).ids.tolist() == alone  # the same with weights as without
        assert len(host.score(alone)) == len(alone)
        return alone


def test_overrides_really_arrive(model):
    plain = ids(model, "the tin")
    assert ids(model, "the tin", **{"tokenizer.ggml.add_bos_token": True}) == [0, *plain]
    assert ids(model, "the tin", **{"tokenizer.ggml.add_eos_token": True}) == [*plain, 3]
    bos = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 2}
    assert ids(model, "the tin", **bos) == [2, *plain]
    merges = [" ".join(map(tiny.letters, pair)) for pair in tiny.MERGES[:1]]
    assert len(ids(model, "the tin", **{"tokenizer.ggml.merges": merges})) > len(plain)


def test_an_override_that_llama_cpp_does_not_read_is_refused(model):
    with (
        Host(Setup.from_dict({"model": str(model), "metadata": {"llama.rope.scaling.factor": 2.0}})) as host,
        Host(Setup.from_dict({"model": str(model), "metadata": {"tokenizer.ggml.eot_token_id": 5}})) as other,
    ):
        assert host.load()["n_ctx"] == 512  # this one is read
        assert other.load()["n_ctx"] == 512


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [("tokenizer.ggml.pre", "nonsense", r" \(tokenizer.ggml.pre\): "), ("general.architecture", "x", ": ")],
)
def test_metadata_that_llama_cpp_refuses_is_not_the_files_fault(model, key, value, why):
    with (
        Host(Setup.from_dict({"model": str(model), "metadata": {key: value}})) as host,
        pytest.raises(CannotRun, match=f"with the setup's metadata{why}.*remove the setup's metadata"),
    ):
        host.load()


def test_context_length_override_decides_the_default_context(model):
    with Host(Setup.from_dict({"model": str(model), "metadata": {"llama.context_length": 1024}})) as host:
        assert host.load()["n_ctx"] == 1024
