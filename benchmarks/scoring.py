"""Scoring 2,048 tokens against the bare decode loop with logits on, at the same batch, in one run.

Both run in processes of their own with the same weights, context and threads, alternating; the fastest
pass of each counts, for a slower one measures what else the machine did. Peak memory is VmHWM after a
pass: what scoring needs above weights, KV cache and the loop's own buffers is the difference.

Run `python benchmarks/scoring.py [--tokens 2048] [--rounds 5]`.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from workbench.data import demo_model
from workbench.runtime.host import Host
from workbench.setup import Setup

AIM, LIMIT, MEMORY_LIMIT_MIB = 1.05, 1.10, 64
N_BATCH = 512


def main() -> None:
    """Print the figures as one JSON object; exit code 1 where a limit is broken."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--tokens", type=int, default=2048)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    result = measure(given.tokens, given.rounds)
    print(json.dumps(result, indent=2))
    raise SystemExit(result["time_ratio"] > LIMIT or result["memory_over_mib"] > MEMORY_LIMIT_MIB)


def measure(n_tokens: int, rounds: int) -> dict[str, Any]:
    """Seconds and peak MiB of both, and their ratio and difference."""
    setup = Setup.from_dict({"model": str(demo_model()), "runtime": {"n_ctx": n_tokens, "n_batch": N_BATCH}})
    ids = [100 + (i * 7919) % 40_000 for i in range(n_tokens)]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    bare = multiprocessing.get_context("spawn").Process(target=bare_loop, args=(theirs, setup.to_dict(), ids))
    bare.start()
    with Host(setup) as host:
        host.load()
        bare_s, score_s = [], []
        for _ in range(rounds):
            ours.send("go")
            bare_s.append(ours.recv())
            host.score([99])  # another first token: nothing can be reused
            started = time.perf_counter()
            scores = host.score(ids)
            score_s.append(time.perf_counter() - started)
            assert len(scores) == n_tokens
            assert host.evaluated == n_tokens
        score_mib = peak_mib(host.pid)
    ours.send("peak")
    bare_mib = ours.recv()
    bare.join()
    return {
        "tokens": n_tokens,
        "bare_s": round(min(bare_s), 3),
        "score_s": round(min(score_s), 3),
        "time_ratio": round(min(score_s) / min(bare_s), 4),
        "bare_peak_mib": round(bare_mib, 1),
        "score_peak_mib": round(score_mib, 1),
        "memory_over_mib": round(score_mib - bare_mib, 1),
    }


def bare_loop(pipe: Any, setup: dict[str, Any], ids: list[int]) -> None:
    """llama_decode with logits on for every token and nothing else, in batches of the same size."""
    from workbench.runtime import params
    from workbench.runtime.session import Session

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # llama.cpp's log
    session = Session()
    runtime = Setup.from_dict(setup).effective()["runtime"]
    library = session.library
    model_params = params.model_params(library, runtime, devices=None, overrides={}, vocab_only=False, keep=[])
    model = library.llama_model_load_from_file(setup["model"].encode(), model_params)
    context = library.llama_init_from_model(model, params.context_params(library, runtime, n_ctx_train=8192))
    while pipe.recv() == "go":
        library.llama_memory_clear(library.llama_get_memory(context), False)
        started = time.perf_counter()
        for at in range(0, len(ids), N_BATCH):
            part = ids[at : at + N_BATCH]
            tokens, flags = (ctypes.c_int32 * len(part))(*part), (ctypes.c_int8 * len(part))(*[1] * len(part))
            assert library.llama_decode(context, library.llama_batch(len(part), tokens, logits=flags)) == 0
            library.llama_get_logits(context)
        pipe.send(time.perf_counter() - started)
    pipe.send(peak_mib(None))


def peak_mib(pid: int | None) -> float:
    """The most memory that a process ever held, in MiB."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main()
