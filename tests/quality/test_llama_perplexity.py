"""The figures against llama.cpp's own tool, built of the sources of the same llama-cpp-python."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from workbench.quality import measure
from workbench.runtime.quantise import quantised
from workbench.runtime.recipe import Recipe
from workbench.setup import Setup

pytestmark = [pytest.mark.model, pytest.mark.slow]

TOOLS = Path(__file__).parents[2] / "tools"
CHARACTERS = 12_000  # of Python's own documentation: six chunks of the demo model's tokens
NUMBER = r"\s*(-?[\d.]+)"
LINES = {
    "mean_kld": rf"Mean    KLD:{NUMBER}",
    "median_kld": rf"Median  KLD:{NUMBER}",
    "max_kld": rf"Maximum KLD:{NUMBER}",
    "kld_99": rf"99\.0%   KLD:{NUMBER}",
    "mean_ppl_q": rf"Mean PPL\(Q\) +:{NUMBER}",
    "mean_ppl_base": rf"Mean PPL\(base\) +:{NUMBER}",
    "mean_dp": rf"Mean    Δp:{NUMBER}",
    "rms_dp": rf"RMS Δp    :{NUMBER}",
    "same_top_p": rf"Same top p:{NUMBER}",
}
# The tool keeps the base's log-probabilities in 16 bits and prints three digits of a percentage.
ABSOLUTE = {"mean_dp": 0.02, "rms_dp": 0.02, "same_top_p": 0.25}
UNCERTAIN = ("mean_kld", "mean_ppl_q", "mean_ppl_base", "rms_dp", "same_top_p")


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location("llama_perplexity", TOOLS / "llama_perplexity.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


def printed_by(tool, base, candidate, text, folder):
    """What the tool's two passes print."""
    program, logits = tool.find_or_build(print), folder / "logits"
    common = ["-f", str(text), "-c", "512", "-t", "2", "--kl-divergence-base", str(logits)]
    for more in (["-m", str(base)], ["-m", str(candidate), "--kl-divergence"]):
        done = subprocess.run([program, *common, *more], capture_output=True, text=True, env=tool.environment())
        assert done.returncode == 0, done.stderr[-2000:]
    logits.unlink()
    return done.stdout + done.stderr


def test_every_figure_is_the_tools(tool, demo_model, tmp_path):
    base = quantised(demo_model, Recipe("F16", requantise=True))
    candidate = quantised(base, "Q4_K_M")
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(topics[name] for name in sorted(topics))[:CHARACTERS], "utf-8")
    printed = printed_by(tool, base, candidate, text, tmp_path)
    two_threads = [Setup.from_dict({"model": str(path), "runtime": {"n_threads": 2}}) for path in (base, candidate)]
    found = measure(two_threads[0], two_threads[1:], text, resume=False)
    for name, line in LINES.items():
        theirs = re.search(rf"{line}(?:\s*±{NUMBER})?", printed)
        ours = found.candidates[0].figure(name)
        assert ours.value == pytest.approx(float(theirs[1]), rel=0.01, abs=ABSOLUTE.get(name, 0.0005)), name
        if name in UNCERTAIN:
            assert ours.uncertainty == pytest.approx(float(theirs[2]), rel=0.02, abs=0.0005), name
    for percent, kld in found.candidates[0].percentiles:
        theirs = re.search(rf"(?<![\d.]){percent:.1f}%\s+KLD:{NUMBER}", printed)
        if theirs is not None:
            assert kld == pytest.approx(float(theirs[1]), rel=0.01, abs=0.0005), percent
    assert "the comparison is circular" in found.notes[0]  # the demo model is a Q4_1
