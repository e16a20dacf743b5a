"""What a measurement holds in memory with a large vocabulary, and how soon it stops."""

import threading
import time

import gguf
import numpy as np
import psutil
import pytest

from tests.gguf import tiny
from workbench.errors import Cancelled
from workbench.progress import Cancel
from workbench.quality import measure
from workbench.setup import Setup

pytestmark = pytest.mark.model

N_VOCAB, WIDTH, HIDDEN = 262_144, 32, 64
LIMIT_MIB = 1536
TEXT = "the tin the " * 180  # two chunks and a little


@pytest.fixture(scope="module")
def large_vocabulary(tmp_path_factory):
    """One layer, width 32 and 262,144 tokens: all of its memory is logits."""
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    own = [*tiny.SPECIALS, *tiny.byte_letters(), *(tiny.letters(piece) for piece in tiny.MERGED)]
    tokens = [*own, *(f"token{i}" for i in range(N_VOCAB - len(own)))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([tiny.CONTROL] * 4 + [tiny.NORMAL] * (N_VOCAB - 4))
    writer.add_token_merges([f"{tiny.letters(a)} {tiny.letters(b)}" for a, b in tiny.MERGES])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(3)
    writer.add_context_length(1024)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    rng = np.random.default_rng(7)
    shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH))
    shapes |= {"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}
    tensors = {f"blk.0.{name}.weight": rng.standard_normal(shape) for name, shape in shapes.items()}
    tensors |= {f"{name}.weight": np.ones(WIDTH) for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")}
    tensors["token_embd.weight"] = rng.standard_normal((N_VOCAB, WIDTH))
    for name, values in tensors.items():
        writer.add_tensor(name, values.astype(np.float32))
    return tiny._write(writer, path)


def watched(work):
    """The most memory in MiB that this process's children held while `work` ran, and what it raised."""
    most, done = [0.0], threading.Event()
    before = {child.pid for child in psutil.Process().children(recursive=True)}  # other tests' hosts may be up

    def follow():
        while not done.wait(0.05):
            try:
                children = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
                most[0] = max(most[0], sum(child.memory_info().rss for child in children) / 2**20)
            except psutil.NoSuchProcess:
                continue

    watch = threading.Thread(target=follow)
    watch.start()
    try:
        work()
    finally:
        done.set()
        watch.join()
    return most[0]


def test_two_models_with_262144_tokens_stay_below_one_and_a_half_gib(large_vocabulary):
    setup = Setup.from_dict({"model": str(large_vocabulary), "runtime": {"n_threads": 2}})
    other = setup.replace(**{"runtime.type_k": "f32"})
    found = []
    peak = watched(lambda: found.append(measure(setup, [other], TEXT, resume=False)))
    print(f"peak {peak:,.0f} MiB")
    assert found[0].positions >= 510
    assert peak < LIMIT_MIB
    figures = dict(found[0].candidates[0].figures)  # keys in 32 bits against 16: hardly a difference
    assert abs(figures["mean_kld"].value) < 0.001
    assert figures["mean_ppl_q"].value == pytest.approx(figures["mean_ppl_base"].value, rel=0.01)


def test_a_cancel_ends_it_soon_in_the_middle_of_a_chunk(large_vocabulary):
    setup, cancel = Setup(model=str(large_vocabulary)), Cancel()
    cancelled_at = []

    def stop(what, done, total):
        if what == "comparing" and not cancelled_at:
            cancel.set()
            cancelled_at.append(time.monotonic())

    with pytest.raises(Cancelled, match="after 0 of"):
        measure(setup, [setup], TEXT, resume=False, progress=stop, cancel=cancel)
    print(f"{time.monotonic() - cancelled_at[0]:.2f} s after the cancel")
    assert cancelled_at
