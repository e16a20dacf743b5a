"""What the quantiser is asked for reaches it: tensor types, an importance matrix, quantised sources, the estimate."""

import json

import gguf
import numpy as np
import pytest

from workbench.data import toolsmith
from workbench.errors import BadFile, BadRequest, CannotRun
from workbench.gguf.header import read_header
from workbench.runtime.quantise import cached_path, quantise, quantised
from workbench.runtime.recipe import Recipe

pytestmark = pytest.mark.model


def types_of(path):
    return {tensor.name: tensor.type for tensor in read_header(path).tensors}


def importance_file(path, *, weight=1.0):
    """An importance matrix for every matrix of toolsmith, the first half of the columns `weight` times as important."""
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    for tensor in read_header(toolsmith()).tensors:
        if len(tensor.shape) > 1:
            sums = np.full((1, tensor.shape[0]), 3.0, np.float32)
            sums[:, : tensor.shape[0] // 2] *= weight
            writer.add_tensor(f"{tensor.name}.in_sum2", sums)
            writer.add_tensor(f"{tensor.name}.counts", np.full((1, 1), 3.0, np.float32))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return path


def test_tensor_types_by_pattern_and_by_name(tmp_path):
    recipe = Recipe("Q4_0", tensor_types=(("blk.0.attn_v", "f16"), ("attn_v", "q6_K")), token_embedding="Q8_0")
    found = types_of(quantise(toolsmith(), tmp_path / "x.gguf", recipe))
    assert found["blk.0.attn_v.weight"] == "F16"  # the first pattern counts
    assert found["blk.1.attn_v.weight"] == "Q6_K"
    assert found["blk.1.attn_q.weight"] == "Q4_0"
    assert found["token_embd.weight"] == "Q8_0"
    pure = types_of(quantise(toolsmith(), tmp_path / "pure.gguf", Recipe("Q4_0", pure=True)))
    assert pure["token_embd.weight"] == "Q4_0"


def test_an_importance_matrix_changes_the_weights_and_is_told_in_the_file(tmp_path):
    plain = quantise(toolsmith(), tmp_path / "plain.gguf", "Q4_K_S")
    even = importance_file(tmp_path / "even.gguf")
    uneven = importance_file(tmp_path / "uneven.gguf", weight=100.0)
    with_even, with_uneven = (
        quantise(toolsmith(), tmp_path / f"with-{path.name}", Recipe("Q4_K_S", imatrix=str(path)))
        for path in (even, uneven)
    )
    header = read_header(with_uneven)
    assert header.get("quantize.imatrix.file") == "uneven.gguf"
    assert header.get("quantize.imatrix.entries_count") == 37

    def weights(path):
        return path.read_bytes()[read_header(path).data_offset :]

    assert len({weights(plain), weights(with_even), weights(with_uneven)}) == 3
    # IQ2_XS is refused without one, so it must have reached llama.cpp.
    with pytest.raises(CannotRun, match="IQ2_XS"):
        quantise(toolsmith(), tmp_path / "iq2.gguf", "IQ2_XS")
    low = quantise(toolsmith(), tmp_path / "iq2.gguf", Recipe("IQ2_XS", imatrix=str(uneven)))
    assert "IQ2_XS" in types_of(low).values()


def test_what_is_no_importance_matrix_is_told(tmp_path):
    with pytest.raises(CannotRun, match="is no importance matrix"):
        quantise(toolsmith(), tmp_path / "x.gguf", Recipe("Q4_0", imatrix=str(toolsmith())))
    with pytest.raises(BadFile, match="does not exist"):
        quantise(toolsmith(), tmp_path / "x.gguf", Recipe("Q4_0", imatrix=str(tmp_path / "nowhere")))


def test_a_quantised_source_needs_a_word(tmp_path):
    low = quantise(toolsmith(), tmp_path / "low.gguf", "Q4_0")
    again = quantise(low, tmp_path / "f16.gguf", Recipe("F16", requantise=True))
    assert set(types_of(again).values()) == {"F16", "F32"}
    assert set(types_of(quantise(low, tmp_path / "f32.gguf", Recipe("F32", requantise=True))).values()) == {"F32"}


@pytest.mark.parametrize(
    "recipe", [Recipe("F32"), Recipe("BF16"), Recipe("Q8_0"), Recipe("Q2_K"), Recipe("Q4_0", (("v", "F16"),))]
)
def test_no_file_is_larger_than_what_was_asked_of_the_disk(tmp_path, recipe):
    path = quantise(toolsmith(), tmp_path / "x.gguf", recipe)
    assert path.stat().st_size <= recipe.most_bytes(read_header(toolsmith()))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("Q4_0", (("(", "Q8_0"),)), "is no regular expression"),
        (Recipe("Q4_0", (("attn_w", "Q8_0"),)), "no tensor of .* has 'attn_w' in its name"),
        (Recipe("F16", (("attn_v", "Q8_0"),)), "tensor types were given for a F16"),
    ],
)
def test_recipes_that_could_have_no_effect_are_refused(tmp_path, recipe, message):
    with pytest.raises(BadRequest, match=message):
        quantise(toolsmith(), tmp_path / "x.gguf", recipe)


def test_an_unknown_tensor_type_names_those_there_are(tmp_path):
    with pytest.raises(CannotRun, match=r"no tensor type 'Q9'; accepted are .*Q4_K"):
        quantise(toolsmith(), tmp_path / "x.gguf", Recipe("Q4_0", (("attn_v", "Q9"),)))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))  # the child may write no more into a file
    try:
        with pytest.raises(CannotRun, match=r"llama.cpp makes no Q8_0"):
            quantise(toolsmith(), tmp_path / "x.gguf", "Q8_0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_tells_recipes_and_sources_apart(tmp_path):
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(toolsmith().read_bytes())
    assert (
        cached_path(copy, "Q8_0").name.partition("-Q8_0-")[2]
        == cached_path(toolsmith(), "q8_0").name.partition("-Q8_0-")[2]
    )
    assert cached_path(copy, "Q8_0") != cached_path(copy, Recipe("Q8_0", pure=True))
    made = quantised(toolsmith(), "Q8_0")
    written = made.stat().st_mtime_ns
    assert quantised(toolsmith(), "Q8_0").stat().st_mtime_ns == written


def test_the_recipe_goes_there_and_back_and_says_what_it_is():
    recipe = Recipe("Q4_K_M", (("attn_v", "q8_0"),), token_embedding="q6_K", imatrix="x.gguf", pure=True)
    assert Recipe.from_dict(json.loads(recipe.to_json())) == recipe
    assert str(recipe) == "Q4_K_M, attn_v as Q8_0, token embedding as Q6_K, with an importance matrix, pure"
