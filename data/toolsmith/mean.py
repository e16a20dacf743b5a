"""The mean of the weights of several checkpoints of one run: what is shipped is the mean of its ends.

python mean.py FIRST.pt SECOND.pt ... OUT.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def main(ends: list[str], out: str) -> None:
    """Write `out`: the last checkpoint, its mean weights replaced by the mean of all checkpoints' mean weights."""
    states = [torch.load(end)["mean"] for end in ends]
    kept = torch.load(ends[-1])
    kept["mean"] = {name: sum(state[name] for state in states) / len(states) for name in kept["mean"]}
    torch.save(kept, Path(out).with_suffix(".new"))
    Path(out).with_suffix(".new").replace(out)


if __name__ == "__main__":
    main(sys.argv[1:-1], sys.argv[-1])
