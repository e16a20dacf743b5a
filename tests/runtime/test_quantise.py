"""llama.cpp's quantiser in a process of its own: whole files or none, progress, cancel, errors in one sentence."""

import threading

import pytest

from workbench.data import toolsmith
from workbench.errors import BadFile, BadRequest, Cancelled, CannotRun
from workbench.gguf.header import read_header
from workbench.progress import Cancel
from workbench.runtime.quantise import quantise

pytestmark = pytest.mark.model


def test_the_file_holds_the_type_and_the_rest_as_it_was(tmp_path):
    seen = []
    path = quantise(
        toolsmith(), tmp_path / "q8.gguf", "Q8_0", progress=lambda what, done, total: seen.append((done, total))
    )
    before, after = read_header(str(toolsmith())), read_header(str(path))
    assert set(after.tensor_types()) == {"Q8_0", "F32"}
    assert after.get("tokenizer.chat_template.tool_use") == before.get("tokenizer.chat_template.tool_use")
    assert sorted(t.name for t in after.tensors) == sorted(t.name for t in before.tensors)
    assert seen[-1] == (len(before.tensors), len(before.tensors))
    assert [one.name for one in tmp_path.iterdir()] == ["q8.gguf"]


def test_an_unknown_type_names_those_there_are(tmp_path):
    with pytest.raises(CannotRun, match=r"knows no file type 'Q9'; accepted are .*Q4_K_M"):
        quantise(toolsmith(), tmp_path / "x.gguf", "Q9")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_quantised_already_is_refused_in_llama_cpps_words(tmp_path):
    low = quantise(toolsmith(), tmp_path / "low.gguf", "Q4_0")
    with pytest.raises(CannotRun, match=r"makes no Q8_0 of"):
        quantise(low, tmp_path / "up.gguf", "Q8_0")
    assert not (tmp_path / "up.gguf").exists()


def test_wrong_files_are_one_sentence(tmp_path):
    with pytest.raises(BadFile, match="does not exist"):
        quantise(tmp_path / "nowhere.gguf", tmp_path / "x.gguf", "Q8_0")
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(toolsmith().read_bytes())
    with pytest.raises(BadRequest, match="is the source"):
        quantise(copy, copy, "Q8_0")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotRun, match="nothing can be written"):
        quantise(copy, tmp_path / "file" / "x.gguf", "Q8_0")


def test_a_cancel_leaves_nothing_behind(tmp_path):
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled, match="making a Q8_0 was cancelled"):
        quantise(toolsmith(), tmp_path / "x.gguf", "Q8_0", cancel=cancel)
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("workbench-quantise")]
