"""How far models are from a base on a text: the statistics of `llama-perplexity --kl-divergence`, and ladders."""

from workbench.quality.ladder import Ladder, Rung, Used, ladder, rung_of
from workbench.quality.measure import measure
from workbench.quality.result import PERCENTILES, Candidate, Quality
from workbench.quality.statistics import KINDS, Figure
from workbench.runtime.recipe import Recipe

__all__ = [
    "KINDS",
    "PERCENTILES",
    "Candidate",
    "Figure",
    "Ladder",
    "Quality",
    "Recipe",
    "Rung",
    "Used",
    "ladder",
    "measure",
    "rung_of",
]
