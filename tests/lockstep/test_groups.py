"""Mixed files: the tensors that were named out of one file, all others as they are in the other."""

import pytest

from workbench import data
from workbench.errors import BadRequest, Cancelled, CannotRun
from workbench.gguf import mixed
from workbench.gguf.header import read_header
from workbench.gguf.mixed import mixed_file
from workbench.groups import which_tensors
from workbench.progress import Cancel

pytestmark = pytest.mark.model


@pytest.fixture
def headers(toolsmith, low):
    return read_header(low.model), read_header(toolsmith.model)


def tensor_bytes(header):
    with open(header.path, "rb") as file:  # noqa: PTH123  seeks are shorter so
        found = {}
        for tensor in header.tensors:
            file.seek(header.data_offset + tensor.offset)
            found[tensor.name] = (tensor.type, tensor.shape, file.read(tensor.nbytes))
    return found


def test_every_tensor_is_that_of_its_file(headers):
    low, high = headers
    names = {"blk.1.ffn_down.weight", "token_embd.weight"}
    with mixed_file(low, high, names) as path:
        made = read_header(str(path))
        found, expected, theirs = tensor_bytes(made), tensor_bytes(low), tensor_bytes(high)
        assert found == expected | {name: theirs[name] for name in names}
        assert [t.name for t in made.tensors] == [t.name for t in low.tensors]
        assert made.metadata == low.metadata
        assert made.array("tokenizer.ggml.tokens") == low.array("tokenizer.ggml.tokens")
    assert not path.exists()
    assert list((data.cache_dir() / mixed.MIXED).iterdir()) == []


def test_all_tensors_put_back_leave_nothing(toolsmith, low, ids):
    found = which_tensors(ids, toolsmith, low, by={"ffn": r"ffn_", "norms": "norm", "everything else": "."})
    assert found.mean_kl > 0.01
    assert found.n == len(ids)
    assert found.same == ("norms",)
    assert {effect.group for effect in found.effects} == {"ffn", "everything else"}
    assert [e.mean_kl for e in found.effects] == sorted(e.mean_kl for e in found.effects)
    assert all(effect.mean_kl < found.mean_kl for effect in found.effects)
    whole = which_tensors(ids, toolsmith, low, by={"all": "."})
    assert whole.effects[0].mean_kl == 0
    assert whole.effects[0].restored == 1
    assert whole.effects[0].types[1] == "F16"
    assert whole.effects[0].extra_bytes > 0


@pytest.mark.slow
def test_groups_by_kind_and_by_layer(toolsmith, low, ids):
    kinds = which_tensors(ids, toolsmith, low)
    assert {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"} <= {e.group for e in kinds.effects}
    assert "attn_norm" in kinds.same
    assert all(effect.tensors == 5 for effect in kinds.effects if effect.group.startswith("attn"))
    layers = which_tensors(ids, toolsmith, low, by="layer")
    assert {f"layer {i}" for i in range(5)} <= {effect.group for effect in layers.effects}


def test_what_is_no_pair_of_files_is_one_sentence(toolsmith, low, ids, tmp_path):
    from tests.gguf import tiny

    with pytest.raises(BadRequest, match="not one model in two precisions"):
        which_tensors(ids, toolsmith, str(tiny.model_file(tmp_path / "tiny.gguf")))
    with pytest.raises(BadRequest, match="is no regular expression"):
        which_tensors(ids, toolsmith, low, by={"x": "("})
    with pytest.raises(BadRequest, match="no tensor belongs to a group"):
        which_tensors(ids, toolsmith, low, by={"x": "nothing is called so"})
    with pytest.raises(BadRequest, match="by is 'size'"):
        which_tensors(ids, toolsmith, low, by="size")


def test_a_cancel_and_a_full_disk_leave_nothing_behind(headers, monkeypatch):
    cancel = Cancel()
    cancel.set()
    with (
        pytest.raises(Cancelled, match="was cancelled"),
        mixed_file(headers[0], headers[1], {"token_embd.weight"}, cancel=cancel),
    ):
        pass
    monkeypatch.setattr(mixed, "SPARE_BYTES", 1 << 60)
    with (
        pytest.raises(CannotRun, match=r"needs .* bytes and"),
        mixed_file(headers[0], headers[1], {"token_embd.weight"}),
    ):
        pass
    assert list((data.cache_dir() / mixed.MIXED).iterdir()) == []
