"""The mean of the weights of two checkpoints of one run: what is shipped is the mean of two ends.

python mean.py FIRST.pt SECOND.pt OUT.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def main(first: str, second: str, out: str) -> None:
    """Write `out`: the second checkpoint, its mean weights replaced by the mean of both checkpoints' mean weights."""
    one, other = torch.load(first), torch.load(second)
    other["mean"] = {name: (one["mean"][name] + other["mean"][name]) / 2 for name in other["mean"]}
    torch.save(other, Path(out).with_suffix(".new"))
    Path(out).with_suffix(".new").replace(out)


if __name__ == "__main__":
    main(*sys.argv[1:4])
