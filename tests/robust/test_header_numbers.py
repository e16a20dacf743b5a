"""Numbers of a GGUF header, or of a setup's metadata, that no tensor bears out: a sentence or the right result."""

import contextlib
import io
import json
import struct
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gguf import tiny
from tests.gguf.damaged import FLOAT32, INT32, NUMBERS, UINT32, with_number
from workbench.cli.main import main
from workbench.data import toolsmith
from workbench.errors import BadFile, BadRequest, CannotRun, WorkbenchError
from workbench.gguf.header import read_header
from workbench.gguf.sizes import MOST_LAYERS, n_layer
from workbench.runtime.host import Host
from workbench.runtime.memory_estimate import estimate
from workbench.runtime.placement import layout
from workbench.setup import Setup

pytestmark = pytest.mark.model

MIB = 2**20
HELLO = [1, 49, 499, 362, 230, 273, 797]  # "Hello there" as toolsmith reads it
ODD = st.sampled_from([0, 1, 5, 48, 49, 512, 513, 200_000_000, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
raws = st.one_of(
    ODD.map(lambda number: (UINT32, struct.pack("<I", number))),
    st.integers(-(2**31), 2**31 - 1).map(lambda number: (INT32, struct.pack("<i", number))),
    st.floats(width=32).map(lambda number: (FLOAT32, struct.pack("<f", number))),
)


def printed(*arguments):
    """The exit code, and what a command wrote to stdout and stderr."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        return main(arguments), out.getvalue(), said.getvalue()


def one_sentence(work):
    """What `work` gives, None where it ends with a sentence."""
    try:
        return work()
    except WorkbenchError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(NUMBERS)), raw=raws)
def test_what_is_reckoned_from_a_number_stays_within_bounds(tmp_path, name, raw):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(with_number(name, *raw))
    runtime = Setup().effective()["runtime"]
    tracemalloc.start()
    header = read_header(path)
    parts = layout(header, runtime)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(parts.layers) == len(parts.cache) <= MOST_LAYERS
    assert parts.n_ctx > 0
    assert sum(parts.layers) + parts.input + parts.output == header.weights_bytes
    assert most < 16 * MIB


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(NUMBERS)), raw=raws)
def test_every_number_gives_a_sentence_or_a_result(tmp_path, name, raw):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(with_number(name, *raw))
    setup = Setup.from_dict({"model": str(path), "runtime": {"n_threads": 1}})
    for command in (("inspect", str(path)), ("render", "hello", "--model", str(path))):
        code, out, said = printed(*command, "--json")
        assert (code, said) == (0, "")
        assert json.loads(out)["schema_version"] == 1
    with Host(setup) as host:
        tokens = one_sentence(lambda: host.tokenize("Hello there"))
        assert tokens is None or tokens.ids.tolist()[-6:] == HELLO[1:]
        one_sentence(lambda: estimate(setup, host=host))


@pytest.mark.parametrize("count", [0, 49, 200_000_000, 2**32 - 1])
def test_more_layers_than_there_are_tensors(tmp_path, count):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(with_number("llama.block_count", UINT32, struct.pack("<I", count)))
    assert n_layer(read_header(path)) == 5
    with Host(Setup(model=str(path))) as host:
        assert host.tokenize("Hello there").ids.tolist() == HELLO
        said = rf"damaged: llama.block_count is {count:,} and the file has tensors of 5 layers; accepted is 5"
        with pytest.raises(BadFile, match=said):
            host.load()
    with pytest.raises(BadFile, match=said):
        estimate(Setup(model=str(path)))


def test_the_same_number_in_a_setup_is_the_setups_mistake():
    setup = Setup(model=str(toolsmith())).replace(**{"metadata.llama.block_count": 200_000_000})
    with Host(setup) as host:
        assert host.tokenize("Hello there").ids.tolist() == HELLO
        with pytest.raises(BadRequest, match=r"metadata llama.block_count is 200,000,000 .* accepted is 5"):
            host.load()


@pytest.mark.parametrize("where", ["file", "setup"])
def test_a_trained_context_beyond_what_a_machine_has_is_no_wish_for_one(tmp_path, where):
    """It is cut to the default as any other one; read with a sign it is below 0, and all of it is asked for."""
    path = tmp_path / "model.gguf"
    raw = struct.pack("<I", 2**31 if where == "file" else 1024)
    path.write_bytes(with_number("llama.context_length", UINT32, raw))
    setup = Setup(model=str(path))
    if where == "setup":
        setup = setup.replace(**{"metadata.llama.context_length": 2**31})
    assert not estimate(setup).refused
    with Host(setup) as host:
        assert host.load()["n_ctx"] == 4096


def test_a_context_that_cannot_fit_is_refused_before_it_is_made(tmp_path):
    setup = Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_ctx": 2**31 - 1}})
    said = r"needs .* for the KV cache of 2,147,483,648 tokens, and .* are available; .*n_ctx to at most [\d,]+"
    with Host(setup) as host, pytest.raises(CannotRun, match=said):
        host.load()
    path = tiny.model_file(tmp_path / "tiny.gguf", odd_cache=True)
    with Host(setup.replace(model=str(path))) as host, pytest.raises(CannotRun, match=said):
        host.load()  # a cache of unknown shape: what llama.cpp notes of each token is known all the same


@pytest.mark.parametrize("weights", [True, False])
def test_tokens_that_are_only_announced(tmp_path, weights):
    path = tiny.unlisted_tokens(tmp_path / "none.gguf", 2**32 - 1, weights=weights)
    with Host(Setup(model=str(path))) as host, pytest.raises(BadFile, match=r"llama.vocab_size is 4,294,967,295 and"):
        host.tokenize("Hello")
