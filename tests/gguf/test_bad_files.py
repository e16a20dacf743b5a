"""Every way in which a file is no good is one clear sentence, and nothing dies."""

import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gguf import tiny
from tests.profiles import examples
from workbench.errors import BadFile
from workbench.gguf.header import Header, read_header

MODEL: dict[str, bytes] = {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tiny.model_file(tmp_path_factory.mktemp("whole") / "tiny.gguf")
    return path.read_bytes()


def sentence(path):
    with pytest.raises(BadFile) as caught:
        read_header(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def cut(tmp_path, data):
    path = tmp_path / "cut.gguf"
    path.write_bytes(data)
    return sentence(path)


def test_a_name_out_of_a_damaged_file_stays_on_one_line(tmp_path, whole):
    """A length that is damaged makes a name of whatever follows: line feeds and control characters too."""
    at = whole.index(b"general.architecture")
    data = bytearray(whole)
    data[at - 8 : at] = (200).to_bytes(8, "little")
    data[at + 20 : at + 24] = b"\n\x1b\r\n"
    data[at + 200 : at + 204] = (99).to_bytes(4, "little")
    assert "general.architecture\\n\\x1b" in cut(tmp_path, bytes(data))


def test_missing_file(tmp_path):
    assert "does not exist" in sentence(tmp_path / "none.gguf")


def test_directory(tmp_path):
    assert "is a directory" in sentence(tmp_path)


def test_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in sentence(tmp_path / "pipe")


def test_unreadable(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    if os.access(path, os.R_OK):
        assert "cut off in the header" in sentence(path)  # root reads everything
    else:
        assert "cannot be read" in sentence(path)


LOOKS = {
    "": "is empty",
    "PK\x03\x04model": "PyTorch",
    "version https://git-lfs.github.com/spec/v1\n": "Git LFS pointer",
    "<!DOCTYPE html><html>": "HTML page",
    "hello": "begins with b'hello'",
    '\x10\0\0\0\0\0\0\0{"a":1}': "safetensors",
    "GG": "cut off in the header",
    "\x1f\x8bxx": "gzip",
}


@pytest.mark.parametrize("content", LOOKS, ids=list(LOOKS.values()))
def test_files_of_another_kind_say_what_they_look_like(tmp_path, content):
    assert LOOKS[content] in cut(tmp_path, content.encode("latin-1"))


@pytest.mark.parametrize("version", [0, 1, 4, 77])
def test_unknown_version(tmp_path, whole, version):
    assert f"is of GGUF version {version}" in cut(tmp_path, whole[:4] + struct.pack("<I", version) + whole[8:])


def test_big_endian(tmp_path, whole):
    assert "big-endian" in cut(tmp_path, whole[:4] + struct.pack(">I", 3) + whole[8:])


@pytest.mark.parametrize("size", [4, 7, 8, 15, 20])
def test_cut_in_the_header(tmp_path, whole, size):
    assert "is cut off in the header" in cut(tmp_path, whole[:size])


def test_cut_in_the_metadata(tmp_path, whole):
    at = whole.index(b"general.architecture") + 30
    message = cut(tmp_path, whole[:at])
    assert "cut off" in message
    assert "header" in message or "metadata" in message


def test_cut_in_the_vocabulary_names_key_and_item(tmp_path, whole):
    message = cut(tmp_path, whole[: whole.index(b"<|im_end|>")])
    assert "cut off in the vocabulary, at tokenizer.ggml.tokens, item 4 of 267" in message


def test_cut_in_the_table_of_tensors(tmp_path, whole):
    message = cut(tmp_path, whole[: whole.index(b"blk.0.ffn_norm.weight") + 30])
    assert "cut off in the table of tensors" in message


def test_cut_in_the_tensors_says_which_and_how_much(tmp_path, whole):
    message = cut(tmp_path, whole[:-1000])
    assert "is cut off in the tensors: 1,000 bytes are missing" in message
    assert "blk.0.ffn_down.weight (12 of 12)" in message


@pytest.mark.parametrize("count", [2**63 - 1, 2**40, 100_000, -1])
@pytest.mark.parametrize("at", [8, 16], ids=["tensors", "metadata keys"])
def test_absurd_counts(tmp_path, whole, count, at):
    message = cut(tmp_path, whole[:at] + struct.pack("<q", count) + whole[at + 8 :])
    assert "announces" in message


def test_absurd_text_length(tmp_path, whole):
    at = whole.index(b"<|bos|>") - 8
    message = cut(tmp_path, whole[:at] + struct.pack("<Q", 2**60) + whole[at + 8 :])
    assert "is damaged in the vocabulary, at tokenizer.ggml.tokens" in message
    assert "a text there is 1,152,921,504,606,846,976 bytes long" in message


def test_absurd_array_length(tmp_path, whole):
    at = whole.index(b"<|bos|>") - 16
    message = cut(tmp_path, whole[:at] + struct.pack("<Q", 2**61) + whole[at + 8 :])
    assert "tokenizer.ggml.tokens" in message


def test_absurd_shape(tmp_path, whole):
    at = whole.index(b"token_embd.weight") + len(b"token_embd.weight") + 4
    message = cut(tmp_path, whole[:at] + struct.pack("<q", 2**62) + whole[at + 8 :])
    assert "damaged" in message or "missing" in message


def test_unknown_tensor_type(tmp_path, whole):
    at = whole.index(b"output_norm.weight") + len(b"output_norm.weight") + 4 + 8
    message = cut(tmp_path, whole[:at] + struct.pack("<i", 9999) + whole[at + 4 :])
    assert "llama.cpp says" in message
    assert "9999" in message


def header_bytes():
    """The tiny vocabulary's file, made once."""
    if not MODEL:
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            MODEL["data"] = tiny.model_file(Path(folder) / "m.gguf").read_bytes()
    return MODEL["data"]


changes = st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=6)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes, keep=st.one_of(st.none(), st.integers(0, 40_000)))
def test_a_corrupted_header_is_a_header_or_a_bad_file(tmp_path, changes, keep):
    data = bytearray(header_bytes()[:keep])
    for at, value in changes:
        if at < len(data):
            data[at] = value
    path = tmp_path / "fuzz.gguf"
    path.write_bytes(data)
    try:
        header = read_header(path)
    except BadFile:
        sentence(path)  # the same again, and in one line
    else:
        assert isinstance(header, Header)
