"""The header of good files, held against the gguf package's own reader."""

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.gguf import tiny
from workbench.errors import Cancelled
from workbench.gguf.fingerprint import fingerprint, sha256
from workbench.gguf.header import Header, read_header
from workbench.progress import Cancel


@pytest.fixture
def model(tmp_path):
    return tiny.model_file(tmp_path / "tiny.gguf")


def plain(field):
    value = field.contents()
    return np.float32(value) if field.types == [gguf.GGUFValueType.FLOAT32] else value


def same(header, path):
    """Every key and tensor as the gguf package reads them."""
    reader = gguf.GGUFReader(path)
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        expected, got = plain(field), header.get(key)
        if isinstance(got, dict):
            assert got["count"] == len(expected), key
            assert got["first"] == expected[:8], key
        else:
            assert got == expected or np.float32(got) == expected, key
    tensors = [(t.name, t.tensor_type.name, [int(n) for n in t.shape], int(t.n_bytes)) for t in reader.tensors]
    assert [(t.name, t.type, list(t.shape), t.nbytes) for t in header.tensors] == tensors
    offsets = [int(t.data_offset) for t in reader.tensors]
    assert [header.data_offset + t.offset for t in header.tensors] == offsets


def test_tiny_model_reads_as_the_gguf_package_reads_it(model):
    same(read_header(model), model)


def test_demo_model_reads_as_the_gguf_package_reads_it(demo_model):
    header = read_header(demo_model)
    same(header, demo_model)
    assert header.n_vocab == 49_152
    assert header.special_tokens["bos_token"] == "<|im_start|>"
    assert header.context_length == 8192
    assert header.tensor_types()["Q4_1"]["count"] == 210
    assert "im_start" in header.chat_template


def test_an_array_comes_whole_on_demand(model):
    header = read_header(model)
    tokens = header.array("tokenizer.ggml.tokens")
    assert tokens[:5] == tiny.SPECIALS
    assert len(tokens) == header.n_vocab
    assert header.array("tokenizer.ggml.token_type")[:5] == [3, 3, 3, 3, 4]
    with pytest.raises(KeyError, match=r"no array general\.name"):
        header.array("general.name")


def test_json_both_ways(model):
    header = read_header(model)
    assert Header.from_dict(json.loads(header.to_json())) == header


def test_the_header_is_read_again_after_the_file_changed(tmp_path):
    path = tmp_path / "a.gguf"
    tiny.vocabulary_file(path, "bpe")
    assert not read_header(path).has_weights
    tiny.model_file(path)
    assert read_header(path).has_weights


def test_what_kind_of_model_it_is(tmp_path):
    assert read_header(tiny.vocabulary_file(tmp_path / "b.gguf", "wpm", architecture="bert")).is_embedding_model
    vocabulary = read_header(tiny.vocabulary_file(tmp_path / "v.gguf", "spm"))
    assert not vocabulary.is_embedding_model
    assert not vocabulary.has_weights
    assert vocabulary.add_bos is None


def test_an_unquoted_path_is_no_problem(tmp_path):
    path = tmp_path / "ein Modell — größer; $(x) '\".gguf"
    tiny.model_file(path)
    assert read_header(path).architecture == "llama"
    assert read_header(str(path)) == read_header(path)


def test_fingerprint_follows_content(tmp_path, model):
    first = fingerprint(model)
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(model.read_bytes())
    assert fingerprint(copy) == first
    data = bytearray(model.read_bytes())
    data[-1] ^= 1  # the last byte of the last tensor
    copy.write_bytes(data)
    assert fingerprint(copy) != first


def test_sha256_is_that_of_the_file(model):
    seen = []
    assert sha256(model, progress=lambda *a: seen.append(a)) == hashlib.sha256(model.read_bytes()).hexdigest()
    assert seen[-1][1:] == (model.stat().st_size, model.stat().st_size)
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled at 0 of"):
        sha256(model, cancel=cancel)


def test_float32_values_are_the_shortest_that_are_the_same(tmp_path):
    path = tmp_path / "f.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    values = [1e-5, 0.1, 1 / 3, 3.4e38, -0.0, 1.17549435e-38, 500000.0]
    for i, value in enumerate(values):
        writer.add_float32(f"x.{i}", value)
    writer.add_array("x.list", [0.1, 0.2])
    tiny._write(writer, path)
    header = read_header(path)
    for i, value in enumerate(values):
        assert np.float32(header.get(f"x.{i}")) == np.float32(value)
    assert header.get("x.0") == 1e-5
    assert header.get("x.list") == [0.1, 0.2]


def test_reader_is_a_plain_script():
    source = Path(__import__("workbench.gguf.reader", fromlist=["x"]).__file__).read_text()
    assert "import workbench" not in source
    assert "import numpy" not in source
