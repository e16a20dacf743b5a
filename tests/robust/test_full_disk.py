"""A disk that gets full in the middle of writing: one sentence, nothing half-written, what was there before stays."""

from pathlib import Path

import pytest

from tests.robust.conftest import files_in, files_of_at_most
from workbench.cli.main import main
from workbench.data import toolsmith
from workbench.engines.wasm import _keep, _kept
from workbench.errors import BadFile, CannotRun
from workbench.floor import noise_floor
from workbench.gguf.altered import altered_copy
from workbench.gguf.header import read_header
from workbench.gguf.mixed import mixed_file
from workbench.quality import ladder, measure
from workbench.runtime.quantise import cached_path, quantise, quantised
from workbench.sweep_cell import MEASURED, keep
from workbench.trace import Trace, trace

KIB, MIB = 1 << 10, 1 << 20
TEXT = "A short text, but long enough for some chunks of sixteen tokens. " * 20


@pytest.mark.model
@pytest.mark.parametrize("size", [4 * KIB, MIB], ids=["in the header", "in the tensors"])
def test_an_altered_copy(model, cache, size):
    header, changes = read_header(model), {"tokenizer.ggml.token_type": [1] * 1024}
    with files_of_at_most(size), pytest.raises(CannotRun, match=r"no altered copy of .* could be written"):
        altered_copy(header, changes)
    assert files_in(cache) == ["altered"]
    assert read_header(altered_copy(header, changes)).has_weights


@pytest.mark.model
def test_a_quantised_file_keeps_the_one_that_was_there(model, tmp_path, cache):
    target = quantise(model, tmp_path / "target.gguf", "Q4_0")
    before = target.read_bytes()
    with files_of_at_most(MIB), pytest.raises(CannotRun, match=r"llama.cpp makes no Q8_0 of"):
        quantise(model, target, "Q8_0")
    assert target.read_bytes() == before
    with files_of_at_most(MIB), pytest.raises(CannotRun, match=r"llama.cpp makes no Q8_0 of"):
        ladder(model, ("Q8_0",))
    assert files_in(cache) == ["quantised"]
    assert not cached_path(model, "Q8_0").exists()
    assert set(read_header(quantised(model, "Q8_0")).tensor_types()) == {"Q8_0", "F32"}


@pytest.mark.model
def test_a_file_of_mixed_tensors(model, tmp_path, cache):
    low = quantise(model, tmp_path / "low.gguf", "Q4_0")
    headers = read_header(low), read_header(model)
    with (
        files_of_at_most(MIB),
        pytest.raises(CannotRun, match="no file of mixed tensors could be written"),
        mixed_file(*headers, {"token_embd.weight"}),
    ):
        pass
    assert files_in(cache) == ["mixed"]


@pytest.mark.model
def test_a_trace_is_saved_whole_or_the_earlier_one_stays(setup, tmp_path):
    first = trace([{"role": "user", "content": "Hi"}], setup, until="tokens")
    folder = first.save(tmp_path / "trace")
    more = trace([{"role": "user", "content": "Hello"}], setup, until="tokens")
    smallest = min(path.stat().st_size for path in folder.iterdir())
    with (
        files_of_at_most(smallest),
        pytest.raises(BadFile, match=r"the trace cannot be written to .*; free some space"),
    ):
        more.save(folder)
    assert files_in(folder) == ["arrays.npz", "hashes.json", "trace.json"]
    assert Trace.load(folder) == first
    assert Trace.load(more.save(folder)) == more


@pytest.mark.model
def test_a_measurement_goes_on_when_there_is_room_again(setup, cache):
    other = setup.replace(**{"runtime.type_k": "q8_0"})
    with files_of_at_most(100), pytest.raises(CannotRun, match="what was measured cannot be kept"):
        measure(setup, [other], TEXT, n_ctx=64)
    assert not [name for name in files_in(cache) if name.count("/") > 1]
    assert measure(setup, [other], TEXT, n_ctx=64).resumed == 0


@pytest.mark.model
def test_a_floor_that_cannot_be_kept_is_measured_all_the_same(setup, cache):
    cache.write_bytes(b"")  # no folder can be made in a file
    floor = noise_floor(setup)
    cache.unlink()
    assert noise_floor(setup) == floor
    assert [Path(name).suffix for name in files_in(cache)] == ["", ".json"]


@pytest.mark.model
def test_saving_by_the_command_line_is_a_sentence_and_the_earlier_trace_stays(tmp_path, capsys):
    arguments = ["trace", "hello", "--model", str(toolsmith()), "--until", "tokens", "--save", str(tmp_path / "kept")]
    assert main(arguments) == 0
    before = Trace.load(tmp_path / "kept")
    capsys.readouterr()
    with files_of_at_most(KIB):
        assert main([*arguments, "--json"]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said == (
        f"workbench: the trace cannot be written to {tmp_path / 'kept'}: File too large; "
        "accepted is a folder one may write to, on a disk with room; free some space, or name another folder\n"
    )
    assert files_in(tmp_path / "kept") == ["arrays.npz", "hashes.json", "trace.json"]
    assert Trace.load(tmp_path / "kept") == before


def test_a_compiled_engine_is_kept_whole_or_not_at_all(tmp_path):
    file, data = tmp_path / "wasm" / "engine.cwasm", bytes(range(256)) * 100
    for _ in range(3):
        with files_of_at_most(KIB):
            _keep(file, data)
        assert files_in(tmp_path) == ["wasm"]
    _keep(file, data)
    assert _kept(file) == data
    for content in (b"", data, file.read_bytes()[:-1], file.read_bytes() + b"x"):
        file.write_bytes(content)
        assert _kept(file) is None


def test_a_cell_of_a_sweep(tmp_path):
    with files_of_at_most(100), pytest.raises(OSError):
        keep(tmp_path, "cell", dict(MEASURED))
    assert files_in(tmp_path) == []
