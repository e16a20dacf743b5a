"""`workbench quality` against the two passes of llama-perplexity on the same text and threads, one run each.

Wall time with loading; peak memory of the processes that hold the models; what lies on the disk afterwards. The
tool is built on first use (some minutes), the models are made of the demo model.

Run `python benchmarks/quality.py [--chunks 26] [--threads 2] [--kind Q4_K_M]`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import llama_perplexity

from workbench.data import demo_model
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantised
from workbench.runtime.recipe import Recipe
from workbench.setup import Setup

AIM = 1.0
N_CTX = 512
CHARACTERS_A_TOKEN = 5  # more than the text really has, so that it is long enough


class Ran(NamedTuple):
    """One side: seconds, CPU seconds, the most memory its processes held together, bytes it wrote, what it said."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    written: int
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=26)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kind", default="Q4_K_M")
    given = parser.parse_args()
    program = llama_perplexity.find_or_build(lambda text: print(text, file=sys.stderr))
    base = quantised(demo_model(), Recipe("F16", requantise=True))
    candidate = quantised(base, given.kind)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = write_text(folder / "text.txt", base, given.chunks)
        theirs = tool(program, base, candidate, text, folder, given.threads)
        ours = workbench(base, candidate, text, folder, given.threads)
    ratio = ours.wall_s / theirs.wall_s
    print(f"| Wall time, {given.chunks} chunks, F16 against {given.kind} | {ours.wall_s:.1f} s to "
          f"{theirs.wall_s:.1f} s: {ratio:.3f} | at most {AIM} |")  # fmt: skip
    print(f"| CPU time | {ours.cpu_s:.1f} s to {theirs.cpu_s:.1f} s | |")
    print(f"| Peak memory | {ours.peak_mib:,.0f} MiB (two models) to {theirs.peak_mib:,.0f} MiB (one) | stated |")
    print(f"| Files of logits | {ours.written:,} bytes to {theirs.written:,} bytes | none |")
    print(f"| Mean KLD | {mean_kld(ours.said)} to {mean_kld(theirs.said)} | within 1 % |")
    return 0 if ratio <= AIM and not ours.written else 1


def write_text(path: Path, model: Path, chunks: int) -> Path:
    """Python's own documentation, cut to just more than these chunks of the model's tokens."""
    whole = "\n\n".join(topics[name] for name in sorted(topics)) * 4
    whole = whole[: chunks * N_CTX * CHARACTERS_A_TOKEN]
    with Host(Setup(model=str(model))) as host:
        tokens = host.tokenize(whole)
    assert len(tokens) > chunks * N_CTX, "the text is too short for so many chunks"
    path.write_text(whole[: int(tokens.spans[chunks * N_CTX + 8, 0])], "utf-8")
    return path


def tool(program: Path, base: Path, candidate: Path, text: Path, folder: Path, threads: int) -> Ran:
    """llama-perplexity's two passes."""
    logits = folder / "logits"
    common = [str(program), "-f", str(text), "-c", str(N_CTX), "-t", str(threads), "--kl-divergence-base", str(logits)]
    environment = llama_perplexity.environment()
    first = run([*common, "-m", str(base)], environment)
    second = run([*common, "-m", str(candidate), "--kl-divergence"], environment)
    wall, cpu = first.wall_s + second.wall_s, first.cpu_s + second.cpu_s
    return Ran(wall, cpu, max(first.peak_mib, second.peak_mib), logits.stat().st_size, second.said)


def workbench(base: Path, candidate: Path, text: Path, folder: Path, threads: int) -> Ran:
    """The command, with a cache of its own so that nothing is resumed; what it keeps of the chunks is no logits."""
    cache = folder / "cache"
    environment = os.environ | {"GGUF_WORKBENCH_CACHE": str(cache), "OMP_NUM_THREADS": str(threads)}
    setups = [folder / "base.json", folder / "candidate.json"]
    for path, model in zip(setups, (base, candidate), strict=True):
        path.write_text(Setup.from_dict({"model": str(model), "runtime": {"n_threads": threads}}).to_json())
    command = [sys.executable, "-m", "workbench", "quality", *map(str, setups), "--text", str(text), "--json"]
    ran = run([*command, "--n-ctx", str(N_CTX)], environment)
    large = [path.stat().st_size for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 1 << 20]
    return ran._replace(written=sum(large))


def run(command: list[str], environment: dict[str, str]) -> Ran:
    """Run a program; its children count."""
    started, before, most = time.perf_counter(), os.times(), [0.0]
    done = threading.Event()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        watch = threading.Thread(target=follow, args=(process.pid, most, done))
        watch.start()
        said, _ = process.communicate()
        done.set()
        watch.join()
    assert process.returncode == 0, said[-2000:]
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(time.perf_counter() - started, cpu, most[0], 0, said)


def follow(pid: int, most: list[float], done: Any) -> None:
    """The most resident memory of a process and its children, shared pages counted in each."""
    while not done.wait(0.2):
        try:
            process = psutil.Process(pid)
            every = [process, *process.children(recursive=True)]
            most[0] = max(most[0], sum(one.memory_info().rss for one in every) / 2**20)
        except psutil.NoSuchProcess:
            continue


def mean_kld(said: str) -> str:
    """The figure as it was printed."""
    found = re.search(r'"mean_kld": \{"value": ([\d.e-]+)', said) or re.search(r"Mean    KLD: *([\d.]+)", said)
    return f"{float(found[1]):.6f}" if found else "not found"


if __name__ == "__main__":
    sys.exit(main())
