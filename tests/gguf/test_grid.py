"""Weights on a quantisation grid: every type is found in every storage, and honest weights are left alone."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profiles import examples
from workbench.data import toolsmith
from workbench.errors import Cancelled
from workbench.gguf.grid import Grids, weight_grids
from workbench.gguf.lattice import GRIDS, on_grid, values_and_errors
from workbench.progress import Cancel
from workbench.runtime.quantise import quantise
from workbench.runtime.recipe import Recipe

STORED = {"F32": np.float32, "F16": np.float16}
KINDS = gguf.GGMLQuantizationType


def store(values, stored):
    """Weights as a file of this type holds them."""
    if stored == "BF16":
        return gguf.quants.quantize(values.astype(np.float32), KINDS.BF16).view(np.uint16)
    return values.astype(STORED[stored])


def found_in(values, stored):
    """The grids that 24 superblocks of these weights are on."""
    sample = values_and_errors(store(values, stored).reshape(-1, 256), stored)
    return [grid.name for grid in GRIDS if on_grid(grid, *sample).fit >= 0.9]


def normal(seed, scale=0.02, n=24 * 256):
    return np.random.default_rng(seed).standard_normal(n) * scale


@settings(max_examples=examples(25))
@given(st.integers(0, 10_000), st.sampled_from(["F32", "F16", "BF16"]), st.sampled_from([1e-4, 0.02, 1.0, 300.0]))
def test_honest_weights_are_on_no_grid(seed, stored, scale):
    assert found_in(normal(seed, scale), stored) == []


@pytest.mark.parametrize(
    "values",
    [
        np.ones(24 * 256),
        np.zeros(24 * 256),
        np.where(np.arange(24 * 256) % 7, 0.0, normal(1)),  # six of seven are pruned
        np.random.default_rng(2).uniform(-1, 1, 24 * 256),
        np.random.default_rng(3).standard_t(2, 24 * 256),
        normal(4, 1e-7),  # F16 has few steps left down there
        np.full(24 * 256, np.nan),
        np.full(24 * 256, np.inf),
    ],
    ids=["ones", "zeros", "sparse", "uniform", "heavy tails", "tiny", "nan", "infinite"],
)
@pytest.mark.parametrize("stored", ["F32", "F16"])
def test_odd_but_honest_weights_are_on_none_either(values, stored):
    with np.errstate(all="ignore"):
        assert found_in(values, stored) == []


@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
@settings(max_examples=examples(4))
@given(seed=st.integers(0, 10_000))
def test_weights_that_were_quantised_are_on_their_grid(kind, stored, seed):
    packed = gguf.quants.quantize(normal(seed).astype(np.float32).reshape(-1, 256), KINDS[kind])  # type: ignore[misc, valid-type]  # the package has no types
    assert found_in(gguf.quants.dequantize(packed, KINDS[kind]), stored)[0] == kind  # type: ignore[misc, valid-type]  # the package has no types


@pytest.mark.model
@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q6_K", "Q4_K", "Q5_K", "Q3_K", "Q2_K", "IQ4_NL"])
def test_files_that_llama_cpp_quantised_and_wrote_out_again(tmp_path, kind, stored):
    file_type = f"{kind}_S" if kind in ("Q4_K", "Q5_K", "Q3_K") else kind
    low = quantise(toolsmith(), tmp_path / "low.gguf", Recipe(file_type, pure=True))
    found = weight_grids(quantise(low, tmp_path / "again.gguf", Recipe(stored, requantise=True)))
    names = {tensor.grid for tensor in found.tensors}
    affine = {"Q4_K": "Q4_1 or Q4_K", "Q5_K": "Q5_1 or Q5_K"}  # BF16 is too coarse to tell them apart
    assert names == {affine.get(kind, kind) if stored == "BF16" else kind}
    assert found.on_grid
    assert found.hidden
    assert all(tensor.fit > 0.9 for tensor in found.tensors)
    assert f"stored as {stored}" in found.words


@pytest.mark.model
def test_the_demo_model_as_f16_is_a_q4_1(tmp_path, demo_model):
    found = weight_grids(quantise(demo_model, tmp_path / "f16.gguf", Recipe("F16", requantise=True)))
    assert {name: round(share, 2) for name, share in found.shares.items()} == {"Q4_1": 0.79, "Q8_0": 0.21}
    assert found.hidden
    assert "79 % Q4_1 (210 of 211), 21 % Q8_0 (1 of 211)" in found.words
    itself = weight_grids(demo_model)
    assert itself.shares == found.shares
    assert (itself.on_grid, itself.hidden) == (True, False)
    assert "is a quantised file" in itself.words


@pytest.mark.model
def test_toolsmith_is_honest():
    found = weight_grids(toolsmith())
    assert found.shares == {"": 1.0}
    assert (found.on_grid, found.hidden, found.words) == (False, False, "")
    assert len(found.tensors) == 37  # the norms are left out
    assert Grids.from_dict(found.to_dict()) == found
    assert "no grid in 37 tensors" in repr(found)


@pytest.mark.model
def test_it_tells_how_far_it_is_and_stops():
    seen, cancel = [], Cancel()
    weight_grids(toolsmith(), progress=lambda what, done, total: seen.append((what, done, total)))
    assert seen[-1] == ("looking at the weights", 37, 37)
    cancel.set()
    with pytest.raises(Cancelled, match="was cancelled"):
        weight_grids(toolsmith(), cancel=cancel)
