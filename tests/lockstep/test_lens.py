"""The logit lens held against numpy on the file's own weights, and the last layer against the real scores."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.gguf import tiny
from tests.lockstep.conftest import REQUEST
from workbench.compare.lens import Lens
from workbench.errors import BadRequest, Cancelled
from workbench.gguf.header import read_header
from workbench.lens import lens
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def host(toolsmith):
    with Host(toolsmith) as running:
        yield running


def weights(path):
    """Final norm (d,) and output matrix (v, d) in float32, the tied embedding where there is no own one."""
    header, reader = read_header(path), {t.name: t for t in gguf.GGUFReader(path).tensors}
    head = reader.get("output.weight", reader["token_embd.weight"])
    norm = reader["output_norm.weight"].data
    matrix = gguf.dequantize(head.data, head.tensor_type).reshape(header.n_vocab, -1)
    return norm.astype(np.float32), matrix.astype(np.float32), header.own("attention.layer_norm_rms_epsilon")


def layer_outputs(host, ids, folder: Path):
    """What llama.cpp computed, (L + 1, n, d), out of the file that one process leaves for the other."""
    header = read_header(host.setup.model)
    given = {"ids": ids, "start": 0, "end": len(ids), "path": str(folder / "stretch"), "tensor": "l_out"}
    host.ask("stretch", given | {"top_k": 1, "against": False})
    data = np.fromfile(folder / "stretch", np.float32)
    return data[len(ids) * header.n_vocab :].reshape(header.n_layer + 1, len(ids), -1)


def by_hand(outputs, norm, matrix, epsilon):
    """Log-probabilities (s, n, v) of root mean square norm, output matrix and softmax."""
    x = outputs.astype(np.float64)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * norm
    logits = x @ matrix.T.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def agrees_with_numpy(host, ids, folder, tolerance):
    found = lens(ids, host.setup, range(len(ids)), top_k=5, host=host)
    logprobs = by_hand(layer_outputs(host, ids, folder), *weights(host.setup.model))
    following = np.array(ids[1:])
    expected = np.take_along_axis(logprobs[:, :-1], following[None, :, None], axis=-1)[..., 0]
    assert found.logprob[:, :-1] == pytest.approx(expected, abs=tolerance)
    best = np.take_along_axis(logprobs, found.top_ids[..., :1].astype(int), axis=-1)[..., 0]
    assert best == pytest.approx(logprobs.max(axis=-1), abs=tolerance)
    assert found.top_logprobs[..., 0] == pytest.approx(best, abs=tolerance)


def test_every_layer_is_what_numpy_makes_of_the_weights(host, ids, tmp_path):
    agrees_with_numpy(host, ids, tmp_path, 0.02)


@pytest.mark.slow
def test_the_same_on_a_quantised_model_with_tied_embeddings(demo_model, tmp_path):
    with Host(Setup.from_dict({"model": str(demo_model), "runtime": {"n_threads": 1}})) as host:
        assert "output.weight" not in {tensor.name for tensor in read_header(str(demo_model)).tensors}
        ids = host.tokenize("The capital of France is Paris.").ids.tolist()
        agrees_with_numpy(host, ids, tmp_path, 0.6)  # llama.cpp multiplies with 8-bit activations there


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("n_ubatch", [512, 7])
def test_the_last_layer_gives_the_real_scores(host, toolsmith, ids, flash, n_ubatch):
    setup = toolsmith.replace(**{"runtime.flash_attn": flash, "runtime.n_ubatch": n_ubatch})
    found = lens(ids, setup, [0, 3, -2, -1], top_k=8, host=host)
    real, at = host.score(ids, top_k=8), [0, 3, len(ids) - 2, len(ids) - 1]
    assert found.off_nats < 1e-3
    assert found.positions.tolist() == at
    assert found.logprob[-1] == pytest.approx(real.logprob[at], abs=2e-3, nan_ok=True)
    assert found.rank[-1].tolist() == real.rank[at].tolist()
    assert (found.top_ids[-1, :, 0] == real.top_ids[at, 0]).all()
    assert found.top_logprobs[-1] == pytest.approx(real.top_logprobs[at], abs=2e-3)
    assert found.entropy[-1] == pytest.approx(real.entropy[at], abs=2e-3)


def test_the_embedding_is_the_row_of_the_token(host, ids, tmp_path):
    host.use(host.setup.replace(**{"runtime.n_ubatch": 512}))
    first = layer_outputs(host, ids, tmp_path)[0]
    tensor = next(t for t in gguf.GGUFReader(host.setup.model).tensors if t.name == "token_embd.weight")
    table = gguf.dequantize(tensor.data, tensor.tensor_type)
    assert (first == table[ids].astype(np.float32)).all()


def test_an_ordinary_context_takes_its_place_again(host, toolsmith, ids):
    host.use(toolsmith)
    before = host.score(ids)
    lens(ids, toolsmith, host=host)
    assert host.score(ids) == before
    assert host.evaluated == len(ids)  # the cache of the other context is gone with it
    host.score(ids)
    assert host.evaluated == 0


def test_a_request_is_read_to_its_end(host, toolsmith):
    found = lens(REQUEST, toolsmith, host=host)
    assert found.here[0].strip() in (b"", b"assistant")
    assert found.following.tolist() == [-1]
    assert np.isnan(found.logprob).all()
    assert not found.rank.any()
    assert found.readings(int(found.positions[0]))[-1].stage == "layer 4"
    assert set(np.unique(found.top_ids).tolist()) <= dict(found.pieces).keys()
    assert Lens.from_dict(found.to_dict()) == found


def test_what_is_no_output_of_a_layer_is_not_evaluated(host, toolsmith, ids):
    unknown = lens(ids, toolsmith, tensor="layer_output", host=host)
    assert "0 of 5 tensors layer_output-0" in unknown.not_evaluated
    part = lens(ids, toolsmith, tensor="attn_out", host=host)
    assert "nats from the model's own log-probabilities" in part.not_evaluated
    for absent in (unknown, part):
        assert Lens.from_dict(json.loads(absent.to_json())) == absent
        assert absent.stages == ()
        assert absent.to_frame().empty
        assert "not evaluated" in repr(absent)
        assert "not evaluated" in absent._repr_html_()


def test_positions_and_cancel(host, toolsmith, ids):
    with pytest.raises(BadRequest, match=rf"positions are \[{len(ids)}\]; accepted are some from 0 to {len(ids) - 1}"):
        lens(ids, toolsmith, [len(ids)], host=host)
    for none in ([], 5, [1.5], "last"):
        with pytest.raises(BadRequest, match="positions are"):
            lens(ids, toolsmith, none, host=host)
    with pytest.raises(BadRequest, match="up to 512 at once"):
        lens(ids * 20, toolsmith, range(600), host=host)
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        lens(ids, toolsmith, host=host, cancel=cancel)
    assert lens(ids, toolsmith, host=host).not_evaluated == ""


@pytest.mark.parametrize("architecture", ["minicpm", "internlm2", "exaone", "mistral3", "ernie4_5"])
def test_other_architectures_have_their_own_head(tmp_path, architecture):
    """Some scale their logits, or name their norms otherwise: llama.cpp's graph knows."""
    path = tiny.model_file(tmp_path / "tiny.gguf", architecture=architecture)
    with Host(Setup(model=str(path))) as host:
        found = lens([5, 9, 30, 44, 70], host.setup, range(5), top_k=5, host=host)
        real = host.score([5, 9, 30, 44, 70], top_k=5)
    assert found.stages == ("embedding", "layer 0")
    assert found.top_logprobs[-1] == pytest.approx(real.top_logprobs, abs=1e-4)
    assert found.top_logprobs[0] != pytest.approx(real.top_logprobs, abs=1e-2)


def test_layers_on_another_device_are_read_from_there(host, toolsmith, ids):
    plain = toolsmith.replace(**{"runtime.use_extra_bufts": False})
    away = plain.replace(**{"runtime.devices": ["rpc:local"], "runtime.n_gpu_layers": -1})
    here = lens(ids, plain, [3, -1], host=host)
    with Host(away) as other:
        assert lens(ids, away, [3, -1], host=other) == here
        assert any(name.startswith("RPC0") for name in other.info()["buffers_mib"])
