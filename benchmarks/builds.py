"""The portable build of llama.cpp against a native one, in one run: scoring, an answer, and quality on the demo model.

The native build comes out of set-up's cache, or is compiled first (minutes). Both run in processes of their own,
alternating; the fastest pass of each counts.

Run `python benchmarks/builds.py [--rounds 5]`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1.03  # of the native build's time
N_TOKENS, N_ANSWER, N_CHUNKS = 512, 64, 2


def main() -> int:
    """Print each ratio; 1 where the portable build is slower than the limit allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measured()))
        return 0
    with tempfile.TemporaryDirectory() as aside:
        zipfile.ZipFile(native_wheel()).extractall(aside)
        best: dict[str, dict[str, float]] = {"native": {}, "portable": {}}
        for _ in range(given.rounds):
            for name, places in (("native", [aside, str(ROOT)]), ("portable", [str(ROOT)])):
                for work, seconds in one_pass(places).items():
                    best[name][work] = min(seconds, best[name].get(work, seconds))
    ratios = {work: best["portable"][work] / seconds for work, seconds in best["native"].items()}
    for work, ratio in ratios.items():
        print(f"| {work}, the portable build against a native one | {ratio:.3f} x | at most {LIMIT} x |")
    return int(max(ratios.values()) > LIMIT)


def native_wheel() -> Path:
    """The wheel for this processor alone."""
    sys.path.insert(0, str(ROOT / "tools"))
    import llama_wheel

    from workbench.data import cache_dir
    from workbench.environment import versions

    version = versions()["llama-cpp-python"]
    flavour = llama_wheel.native_flavours()[0]
    return llama_wheel.find_or_build(version, Path(sys.executable), cache_dir(), flavour, lambda _: None)


def one_pass(places: list[str]) -> dict[str, float]:
    """Seconds of each work in a fresh process that finds llama_cpp in the first of `places` that has it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, __file__, "--child"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured() -> dict[str, float]:
    """Seconds of each work with whatever llama_cpp this process finds."""
    from workbench import Conversation, Host, Setup
    from workbench.data import demo_model
    from workbench.quality import measure

    setup = Setup.from_dict({"model": str(demo_model()), "runtime": {"n_ctx": 1024}})
    ids = [100 + (i * 7919) % 40_000 for i in range(N_TOKENS)]
    greedy = setup.sampling_for(Conversation.of([{"role": "user", "content": ""}])) | {"max_tokens": N_ANSWER}
    found = {}
    with Host(setup) as host:
        host.score([99])
        started = time.perf_counter()
        host.score(ids)
        found[f"scoring {N_TOKENS} tokens"] = time.perf_counter() - started
        started = time.perf_counter()
        host.generate(ids, greedy)
        found[f"an answer of {N_ANSWER} tokens"] = time.perf_counter() - started
    text = " ".join(f"The number {i} is followed by {i + 1}." for i in range(60 * N_CHUNKS))
    started = time.perf_counter()
    measure(setup, [setup.replace(**{"runtime.type_k": "q8_0"})], text, n_ctx=256, resume=False)
    found["quality"] = time.perf_counter() - started
    return found


if __name__ == "__main__":
    sys.exit(main())
