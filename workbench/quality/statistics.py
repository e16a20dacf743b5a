"""The figures of `llama-perplexity --kl-divergence`, made of what was measured at each position.

Behaviour, the uncertainties too:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/perplexity/perplexity.cpp#L1742
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
FEWEST = 100  # positions below which the tool makes no statistics
NATS, PERCENT, NONE = "nats", "%", ""


class Figure(NamedTuple):
    """One figure with its standard error, None where llama-perplexity gives none."""

    value: float
    uncertainty: float | None = None


class Kind(NamedTuple):
    """What a figure is called and its unit; the lower the better, unless `up`."""

    name: str
    title: str
    unit: str
    up: bool = False


KINDS: tuple[Kind, ...] = (
    Kind("mean_kld", "mean KL divergence", NATS),
    Kind("median_kld", "median KL divergence", NATS),
    Kind("max_kld", "greatest KL divergence", NATS),
    Kind("kld_99", "99 % of the positions are below", NATS),
    Kind("mean_ppl_q", "perplexity", NONE),
    Kind("mean_ppl_base", "perplexity of the base", NONE),
    Kind("mean_dp", "mean change of the right token's probability", PERCENT, up=True),
    Kind("rms_dp", "root mean square of that change", PERCENT),
    Kind("same_top_p", "same first place", PERCENT, up=True),
)


def figures(nll_base: Floats, nll: Floats, kld: Floats, same_top: Floats) -> dict[str, Figure]:
    """Every figure of `KINDS` by name, from n positions: nats, and whether first place is the same (n,)."""
    change = np.exp(-nll.astype(np.float64)) - np.exp(-nll_base.astype(np.float64))  # (n,), -1 to 1
    square = mean(change * change)
    root = math.sqrt(square.value)
    share, n = float(np.mean(same_top)), len(kld)
    return {
        "mean_kld": mean(kld),
        "median_kld": Figure(percentile(kld, 50)),
        "max_kld": Figure(float(kld.max())),
        "kld_99": Figure(percentile(kld, 99)),
        "mean_ppl_q": _exponential(mean(nll)),
        "mean_ppl_base": _exponential(mean(nll_base)),
        "mean_dp": _percent(mean(change)),
        "rms_dp": _percent(Figure(root, 0.5 / root * (square.uncertainty or 0.0) if root else 0.0)),
        "same_top_p": _percent(Figure(share, math.sqrt(share * (1 - share) / (n - 1)))),
    }


def mean(values: Floats) -> Figure:
    """The mean and its standard error, as the tool reckons it: 0 for ten values or fewer."""
    exact, n = values.astype(np.float64), len(values)
    middle = float(exact.mean())
    spread = float(np.mean(exact * exact)) - middle * middle
    return Figure(middle, math.sqrt(spread / (n - 1)) if spread > 0 and n > 10 else 0.0)


def percentile(values: Floats, percent: float) -> float:
    """The value below which `percent` (0 to 100) of them are, between two of them by straight line."""
    return float(np.percentile(values.astype(np.float64), percent))


def _exponential(figure: Figure) -> Figure:
    value = math.exp(figure.value)
    return Figure(value, value * (figure.uncertainty or 0.0))


def _percent(figure: Figure) -> Figure:
    return Figure(100 * figure.value, 100 * (figure.uncertainty or 0.0))
