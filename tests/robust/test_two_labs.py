"""Two labs on one model and one cache at the same time: both get what one alone gets, the cache holds whole files."""

import hashlib
import json
import subprocess
import sys
import textwrap

import pytest

from tests.robust.conftest import files_in
from workbench.data import toolsmith
from workbench.gguf.header import read_header
from workbench.runtime.process import child_environment
from workbench.trace import Trace

pytestmark = pytest.mark.model

SWEEP = """
    import json, sys
    from workbench.setup import Setup
    from workbench.sweep import grid, sweep
    from workbench.trace import Trace, trace
    setup = Setup.from_dict({"model": sys.argv[1], "runtime": {"n_threads": 1}})
    sys.stdin.readline()
    requests = [[{"role": "user", "content": text}] for text in ("Hi", "Hello", "Good morning")]
    setups = grid(setup, {"metadata.tokenizer.ggml.add_bos_token": [True, False]})
    found = sweep(setups, requests, until="tokens", folder="swept")
    traced = trace(requests[0], setup, until="tokens")
    for _ in range(50):
        traced.save("kept")
        assert Trace.load("kept") == traced
    print(json.dumps([[cell["ids"], cell["n_prompt"], cell["error"]] for cell in found.to_dict()["cells"]]))
"""
LAB = """
    import hashlib, json, sys, threading
    from workbench.gguf.altered import altered_copy
    from workbench.gguf.header import read_header
    from workbench.quality import measure
    from workbench.runtime.host import Host
    from workbench.runtime.quantise import quantised
    from workbench.setup import Setup
    path = sys.argv[1]
    base = Setup.from_dict({"model": path, "runtime": {"n_threads": 1}})
    other = base.replace(**{"runtime.type_k": "q8_0"})
    text = "A short text, but long enough for some chunks of sixteen tokens. " * 20
    def work(found):
        copy = altered_copy(read_header(path), {"a": 1})
        low = quantised(path, "Q8_0")
        found += [hashlib.sha256(made.read_bytes()).hexdigest() for made in (copy, low)]
        found.append(measure(base, [other], text, n_ctx=64).to_dict()["candidates"])
        with Host(base.replace(**{"metadata.tokenizer.ggml.pre": "gpt-2"})) as host:
            found.append(hashlib.sha256(host.score(range(3, 103)).logprob.tobytes()).hexdigest())
    sys.stdin.readline()
    results = [[], []]
    threads = [threading.Thread(target=work, args=(found,)) for found in results]  # two widgets of one kernel
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(results))
"""


def labs(count, work=LAB, **options):
    """What `count` of them print; each begins when all are up."""
    command = [sys.executable, "-c", textwrap.dedent(work), str(toolsmith())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": child_environment()}
    running = [subprocess.Popen(command, **pipes, **options) for _ in range(count)]
    for lab in running:
        lab.stdin.write("go\n")
        lab.stdin.flush()
    return [found for lab in running for found in json.loads(lab.communicate(timeout=300)[0])]


def test_two_labs_at_once(cache, tmp_path, monkeypatch):
    first, *others = labs(2)
    assert len(first) == 4
    assert all(found == first for found in others)
    left = files_in(cache)
    assert [name for name in left if name.endswith(".part") or "/." in name] == []
    for path in cache.rglob("*.gguf"):
        read_header(path)
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "another"))
    alone, _ = labs(1)
    assert alone == first
    assert hashlib.sha256(toolsmith().read_bytes()).hexdigest() == UNTOUCHED


UNTOUCHED = hashlib.sha256(toolsmith().read_bytes()).hexdigest()


def test_two_sweeps_and_two_traces_into_one_folder(tmp_path):
    cells = labs(3, SWEEP, cwd=tmp_path)
    assert cells[:6] == cells[6:12] == cells[12:]
    assert [error for _, _, error in cells] == [None] * 18
    assert len(files_in(tmp_path / "swept")) == 6
    assert files_in(tmp_path / "kept") == ["arrays.npz", "hashes.json", "trace.json"]
    assert Trace.load(tmp_path / "kept").complete
