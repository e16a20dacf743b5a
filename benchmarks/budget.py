"""Scoring with everything on: the demo model against its bounds, and 32,768 tokens of a vocabulary of 262,144.

Everything on is: the top 20, ranks, entropy, margins, and the full logits of four positions. Beside it runs the bare
decode loop of `scoring.py`, with the same file, context and batches; the fastest pass of each counts. No model of
that vocabulary comes along, so one is written: a llama of the width and heads of the smallest model that has such a
vocabulary (640, as Gemma 3 270M), two layers, random weights. A real model's decode takes longer, what scoring adds
to a token does not: it follows the vocabulary alone. Peak memory is VmHWM, set back before each length.

Run `python benchmarks/budget.py [--lengths 512 2048 8192 32768]`.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.scoring import LIMIT, MEMORY_LIMIT_MIB, N_BATCH, bare_loop, peak_mib  # noqa: E402 (see strip.py)
from workbench.data import demo_model  # noqa: E402
from workbench.runtime.host import Host  # noqa: E402
from workbench.setup import Setup  # noqa: E402
from workbench.stages import Scores, Tokens  # noqa: E402

N_VOCAB, WIDTH, HEADS, HIDDEN, LAYERS = 262_144, 640, 4, 2048, 2
HEAD = "| Vocabulary | Tokens | Bare decode | Scoring | Ratio | Scoring adds | Host's peak | over the loop | Kernel |"
ASKED = 4  # positions whose full logits are wanted
LETTERS = "\u0120abcdefghijklmnopqrstuvwxyz"  # the first one is GPT-2's letter for a space


class Pass(NamedTuple):
    """One length: seconds of the bare loop and of scoring, peak MiB of the loop, the host and the kernel's own part."""

    tokens: int
    bare_s: float
    score_s: float
    bare_mib: float
    host_mib: float
    kernel_mib: float

    @property
    def ratio(self) -> float:
        """Scoring's time over the bare loop's."""
        return self.score_s / self.bare_s

    @property
    def over_mib(self) -> float:
        """What the host took more than the bare loop."""
        return self.host_mib - self.bare_mib


class Large(NamedTuple):
    """The large vocabulary: its passes, and of the longest text tokens, scores and the seconds to tokenise it."""

    passes: list[Pass]
    tokens: Tokens
    scores: Scores
    tokenizing_s: float


def main() -> int:
    """Print the table and what belongs to it; 1 where a bound is broken or memory grows with the text."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 8192, 32_768])
    lengths = sorted(options.parse_args().lengths)
    demo_ids = [100 + (i * 7919) % 40_000 for i in range(2048)]
    demo, _ = measure(setup_of(demo_model(), len(demo_ids)), demo_ids, rounds=5)
    large = measure_large(lengths)
    print(HEAD)
    print("| --- " * (HEAD.count(" | ") + 1) + "|")
    for n_vocab, one in ((49_152, demo), *((N_VOCAB, one) for one in large.passes)):
        print(row(n_vocab, one))
    grown = max(one.over_mib for one in large.passes) - min(one.over_mib for one in large.passes)
    print("\n".join([f"bounds, of the first row: ratio {LIMIT}, {MEMORY_LIMIT_MIB} MiB over the loop", *notes(large)]))
    print(f"over the loop the memory differs by {grown:.1f} MiB between {lengths[0]:,} and {lengths[-1]:,} tokens")
    print(strip_facts(large.tokens, large.scores))
    return int(demo.ratio > LIMIT or max(demo.over_mib, grown) > MEMORY_LIMIT_MIB)


def measure_large(lengths: list[int]) -> Large:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large-vocabulary.gguf"
        writing = multiprocessing.get_context("spawn").Process(target=write_model, args=(path,))
        writing.start()
        writing.join()
        assert writing.exitcode == 0
        setup = setup_of(path, lengths[-1])
        tokens, tokenizing_s = tokens_of(setup, lengths[-1])
        ids, passes = tokens.ids.tolist(), []
        for n in lengths:
            one, scores = measure(setup, ids[:n], rounds=3 if n <= 2048 else 1)
            passes.append(one)
    return Large(passes, tokens, scores, tokenizing_s)


def notes(large: Large) -> list[str]:
    """The budget: what a token costs, that of the shortest text times the longest, and what that one really took."""
    n, first, last = len(large.tokens), large.passes[0], large.passes[-1]
    each = sum(getattr(large.scores, name).nbytes for name in Scores.ARRAYS) / n
    added = [(one.score_s - one.bare_s) / one.tokens for one in (first, last)]
    return [
        f"budget for {n:,} tokens: scoring adds {added[0] * n:.0f} s to the decode; measured {added[1] * n:.0f} s",
        f"a token takes {each:.0f} bytes of scores, {each * n / 2**20:.1f} MiB in all",
        f"wanted logits: {N_VOCAB * 4 / 2**20:.0f} MiB a position; all would be {n * N_VOCAB * 4 / 2**20:,.0f} MiB",
        f"tokenising the {n:,} tokens: {large.tokenizing_s:.2f} s, the vocabulary's load included",
    ]


def setup_of(model: Path, n_ctx: int) -> Setup:
    return Setup.from_dict({"model": str(model), "runtime": {"n_ctx": n_ctx, "n_batch": N_BATCH}})


def measure(setup: Setup, ids: list[int], *, rounds: int) -> tuple[Pass, Scores]:
    """The fastest of some alternating passes of both, and the scores."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    bare = multiprocessing.get_context("spawn").Process(target=bare_loop, args=(theirs, setup.to_dict(), ids))
    bare.start()
    theirs.close()  # if the loop dies, there is an end to wait for
    asked = np.linspace(0, len(ids) - 1, ASKED).astype(int).tolist()
    bare_s, score_s = [], []
    with Host(setup) as host:
        host.load()
        for _ in range(rounds):
            ours.send("go")
            bare_s.append(ours.recv())
            host.score([ids[0] + 1])  # another first token: nothing can be reused
            before = reset_peak("self")
            started = time.perf_counter()
            scores = host.score(ids, logits_at=asked)
            score_s.append(time.perf_counter() - started)
            assert host.evaluated == len(scores) == len(ids)
            assert [i for i, _ in scores.logits] == asked
        host_mib, kernel_mib = peak_mib(host.pid), peak_mib(None) - before
    ours.send("peak")
    found = Pass(len(ids), min(bare_s), min(score_s), ours.recv(), host_mib, kernel_mib)
    bare.join()
    return found, scores


def reset_peak(process: str) -> float:
    """Set a process's VmHWM back to what it holds now, in MiB."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return peak_mib(None)


def row(n_vocab: int, one: Pass) -> str:
    n = one.tokens
    bare, score = (s * 1000 / n for s in (one.bare_s, one.score_s))
    return (
        f"| {n_vocab:,} | {n:,} | {bare:.2f} ms/token | {score:.2f} ms/token, {one.score_s:.1f} s | {one.ratio:.3f} "
        f"| {score - bare:.2f} ms/token | {one.host_mib:,.0f} MiB | {one.over_mib:.1f} MiB | {one.kernel_mib:.1f} MiB |"
    )


# The model


def write_model(path: Path) -> None:
    """A llama with random weights and a byte-level BPE vocabulary of all bytes and the letters' twos to fours."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    words, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(words))
    writer.add_token_merges(merges)
    writer.add_context_length(32_768)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    rng = np.random.default_rng(0)
    for name, shape in shapes().items():
        values = rng.standard_normal(shape, np.float32) * np.float32(0.05)
        writer.add_tensor(name, values.astype(np.float16) if len(shape) > 1 else np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary() -> tuple[list[str], list[str]]:
    """Words and merges; fours are made of two twos, threes of a two and a letter."""
    from tests.gguf.tiny import byte_letters

    twos = [a + b for a, b in itertools.product(LETTERS, repeat=2)]
    pairs = [*itertools.product(LETTERS, repeat=2), *itertools.product(twos, LETTERS), *itertools.product(twos, twos)]
    pairs = pairs[: N_VOCAB - 256]
    return [*byte_letters(), *(a + b for a, b in pairs)], [f"{a} {b}" for a, b in pairs]


def shapes() -> dict[str, tuple[int, ...]]:
    """The tensors; the embeddings are the output matrix too."""
    narrow = WIDTH // HEADS
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (narrow, WIDTH),
        "attn_v": (narrow, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    inside = {f"blk.{i}.{name}.weight": shape for i in range(LAYERS) for name, shape in layer.items()}
    return {"token_embd.weight": (N_VOCAB, WIDTH), "output_norm.weight": (WIDTH,), **inside}


def tokens_of(setup: Setup, n: int) -> tuple[Tokens, float]:
    """The first tokens of a text of random words, and the seconds that its tokenising takes."""
    rng = np.random.default_rng(1)
    words = ("".join(rng.choice(list(LETTERS[1:]), size)) for size in rng.integers(2, 8, n))
    text = " ".join(words)
    with Host(setup) as host:
        started = time.perf_counter()
        found = host.tokenize(text)
        taken = time.perf_counter() - started
    assert len(found) >= n
    return Tokens(
        found.ids[:n], found.pieces[:n], found.types[:n], found.spans[:n], found.byte_spans[:n], (), N_VOCAB
    ), taken


# The strip


def strip_facts(tokens: Tokens, scores: Any) -> str:
    """What the strip sends of so many tokens, and how it draws them."""
    from benchmarks import strip as drawing
    from tests.browser.chromium import chromium, local_page
    from workbench.widgets.strip import payload_of, strip

    shown = strip(tokens, scores)
    started = time.perf_counter()
    sent = payload_of(shown.facts)
    taken_ms = (time.perf_counter() - started) * 1000
    size_mib = sum(map(len, sent.buffers)) / 2**20
    with chromium() as browser, local_page(browser, viewport={"width": 1100, "height": 700}) as page:
        paint, frames, _ = drawing.drawn(page, shown)
    median = drawing.median
    return (
        f"the strip of {len(tokens):,} tokens: {size_mib:.1f} MiB made in {taken_ms:.0f} ms, "
        f"first paint {median(paint):.0f} ms, a frame while scrolling {median(frames):.0f} ms (medians)"
    )


if __name__ == "__main__":
    sys.exit(main())
