"""Trains toolsmith anew, measures it, and says whether it meets its aims: `make toolsmith`.

    make toolsmith                        one run of 80, 94 and 108 minutes, seed 1, into artifacts/toolsmith-1
    make toolsmith ARGS="--seed 2"        another
    make toolsmith ARGS="--f32"           only the F32 file of the shipped weights, to the byte

torch comes into an environment of its own inside `.venv`, which takes everything else from there. Started again
on the same folder, training goes on where it stopped. Nothing that is shipped is overwritten.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "data" / "toolsmith"
ENVIRONMENT = ROOT / ".venv" / "toolsmith"
TORCH = "torch==2.13.0"
SHIPPED = SCRIPTS / "toolsmith-f16.gguf"


def main() -> int:
    """Each step in order; ends with the code of the first that fails, 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=80.0)
    parser.add_argument("--more", type=float, default=14.0, help="minutes to each further end of the run")
    parser.add_argument("--ends", type=int, default=3, help="the mean of the weights at all ends counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None, help="folder; artifacts/toolsmith-SEED without it")
    parser.add_argument("--f32", action="store_true", help="only write the shipped weights as float32")
    options = parser.parse_args()
    folder = options.out or ROOT / "artifacts" / f"toolsmith-{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    python = environment()
    if options.f32:
        return run(python, "export.py", SHIPPED, folder / "toolsmith-f32.gguf", "--type", "f32")
    checkpoint, both = folder / "checkpoint.pt", folder / "mean.pt"
    ends = [folder / f"end-{number}.pt" for number in range(1, options.ends + 1)]
    f16, f32 = folder / "toolsmith-f16.gguf", folder / "toolsmith-f32.gguf"
    for number, end in enumerate(ends):
        if not end.exists():
            minutes = options.minutes + number * options.more
            if code := run(python, "train.py", "--minutes", minutes, "--seed", options.seed, "--out", folder):
                return code
            shutil.copyfile(checkpoint, end)
    steps: list[tuple[Any, ...]] = [
        ("mean.py", *ends, both),
        ("export.py", both, f16),
        ("export.py", both, f32, "--type", "f32"),
        ("parity.py", both, f32),
    ]
    for step in steps:
        if code := run(python, *step):
            return code
    return run(Path(sys.executable), "aims.py", f16)


def environment() -> Path:
    """A Python with torch, made once: `.venv`'s packages are seen there too."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / f"{hashlib.sha256(TORCH.encode()).hexdigest()[:12]}.done"
    if not stamp.exists():
        print(f"toolsmith: making an environment with {TORCH}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        site = next((ENVIRONMENT / "lib").glob("python*/site-packages"))
        (site / "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH], check=True)
        stamp.touch()
    return python


def run(python: Path, script: str, *arguments: object) -> int:
    """One script of data/toolsmith; training's workers have one thread each."""
    words = [str(python), str(SCRIPTS / script), *map(str, arguments)]
    print(f"toolsmith: {script} {' '.join(words[2:])}", file=sys.stderr, flush=True)
    calm = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"} if script == "train.py" else {}
    return subprocess.run(words, check=False, env={**os.environ, **calm}).returncode


if __name__ == "__main__":
    sys.exit(main())
