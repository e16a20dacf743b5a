"""Known silent faults of precision, context and backend on the demo model in F16, at the size that others measured.

Their figures are of another text of 84 tokens, so each is held to a factor of 3; what must not move is the order.
"""

import pytest

from workbench.lockstep import score_both, where_it_begins
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise
from workbench.runtime.recipe import Recipe
from workbench.setup import Setup

pytestmark = [pytest.mark.model, pytest.mark.slow]
TEXT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWrite a Python function that "
    "returns the sum of two numbers, and say in one sentence what it does.<|im_end|>\n<|im_start|>assistant\n"
    "def add(a, b):\n    return a + b\n\nThe function takes two numbers and gives back what they are together."
    "<|im_end|>\n"
)


@pytest.fixture(scope="module")
def setup(demo_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("f16") / "demo-f16.gguf"
    quantise(demo_model, path, Recipe("F16", requantise=True))
    runtime = {"n_ctx": 512, "n_threads": 1, "flash_attn": True}
    yield Setup.from_dict({"model": str(path), "runtime": runtime})
    path.unlink()


@pytest.fixture(scope="module")
def pair_of(setup):
    """The scores of the setup and of a changed one."""
    with Host(setup) as a, Host(setup) as b:
        ids = a.tokenize(TEXT).ids.tolist()

        def pair(**changes):
            changed = setup.replace(**{f"runtime.{name}": value for name, value in changes.items()})
            return score_both(ids, setup, changed, hosts=(a, b))

        pair.hosts, pair.ids = (a, b), ids  # type: ignore[attr-defined]  # what the tests ask it for
        yield pair


def near(value, measured):
    return measured / 3 < value < measured * 3


def test_a_quantised_key_cache_does_more_than_a_quantised_value_cache(pair_of):
    """kv-quant-attention-sink."""
    mild = pair_of(type_k="q8_0", type_v="q8_0")
    keys, values = pair_of(type_k="q4_0"), pair_of(type_v="q4_0")
    both = pair_of(type_k="q4_0", type_v="q4_0")
    figures = [pair.mean_kl for pair in (mild, values, keys, both)]
    print("KL of q8_0 both, q4_0 values, keys, both:", *(f"{figure:.2g}" for figure in figures))
    assert figures == sorted(figures)
    assert all(near(*one) for one in zip(figures, (0.00017, 0.0079, 0.028, 0.036), strict=True))
    assert mild.same_top == 1
    assert 0.85 < keys.same_top < values.same_top < 1


def test_the_shape_of_a_batch_is_the_floor(pair_of):
    """prompt-cache-nondeterminism: a cached prompt is evaluated in other batches, and says the same."""
    one_by_one = pair_of(n_ubatch=1)
    print(f"KL token by token: {one_by_one.mean_kl:.2g}, largest gap {one_by_one.as_floor_row('').gap:.2g}")
    assert near(one_by_one.mean_kl, 3e-6)
    assert one_by_one.same_top == 1
    assert near(one_by_one.as_floor_row("").gap, 0.057)
    assert pair_of().mean_kl == 0


def test_another_rope_is_near_for_short_texts_and_far_for_long_ones(pair_of, setup):
    """llama31-rope-factors, by the setting that overrides them."""
    base, scale = pair_of(rope_freq_base=10_000.0), pair_of(rope_freq_scale=0.5)
    print(f"KL of another rope base {base.mean_kl:.2g}, of half the scale {scale.mean_kl:.2g}")
    assert near(base.mean_kl, 0.083)
    assert near(scale.mean_kl, 0.74)
    assert 0.5 < scale.same_top < 0.8
    third = len(base) // 3
    assert base.kl[-third:].mean() > 2 * base.kl[:third].mean()
    changed = setup.replace(**{"runtime.rope_freq_base": 10_000.0})
    drift = where_it_begins(pair_of.ids, setup, changed, hosts=pair_of.hosts, floor=False)
    assert drift.begins.stage == "layer 0"  # the embedding has no place yet
