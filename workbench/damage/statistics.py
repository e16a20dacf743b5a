"""Intervals and paired tests for shares and means, in closed form, without a statistics library.

Shares: Wilson's interval (https://doi.org/10.1080/01621459.1927.10502953); paired shares: McNemar's test in its
exact form, and the interval of Agresti and Min (https://doi.org/10.1002/sim.1781). Means: the normal
approximation, which some hundred requests allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

FEWEST = 30  # pairs below which a mean of unknown spread is not tested: the normal tail is too thin for it
Z95 = 1.959963984540054  # two-sided 95 % of a normal distribution


class Interval(NamedTuple):
    """An estimate with its 95 % confidence interval; NaN where there is nothing to estimate from."""

    value: float
    low: float
    high: float


NONE = Interval(math.nan, math.nan, math.nan)


def share(right: int, n: int) -> Interval:
    """`right` of `n` as a share (0 to 1), with Wilson's interval."""
    if n == 0:
        return NONE
    p, z2 = right / n, Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def share_difference(only_first: int, only_second: int, n: int) -> Interval:
    """Second share minus first of the same `n` requests, from the requests that only one of them got right."""
    if n == 0:
        return NONE
    b, c, m = only_first + 0.5, only_second + 0.5, n + 2
    middle = (c - b) / m
    half = Z95 * math.sqrt(b + c - (c - b) ** 2 / m) / m
    return Interval((only_second - only_first) / n, max(-1.0, middle - half), min(1.0, middle + half))


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's exact test: how likely so uneven a split of the differing requests is."""
    n, least = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(least + 1))
    return min(1.0, float(2 * tail / 2**n) if n < 1000 else 2 * _normal_tail((n - 2 * least - 1) / math.sqrt(n)))


def mean(values: Sequence[float]) -> Interval:
    """The mean of independent values, with its interval."""
    if len(values) < 2:
        return NONE
    middle = math.fsum(values) / len(values)
    error = _standard_error(values, middle)
    return Interval(middle, middle - Z95 * error, middle + Z95 * error)


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """The sum of one over the sum of the other, both at least 0, as nats over tokens; interval by the delta method."""
    total = math.fsum(denominators)
    if len(numerators) < 2 or not total:
        return NONE
    value = math.fsum(numerators) / total
    rest = [a - value * b for a, b in zip(numerators, denominators, strict=True)]
    half = Z95 * _standard_error(rest, 0.0) * len(rest) / total
    return Interval(value, max(0.0, value - half), value + half)


def differs_from_zero(values: Sequence[float]) -> float:
    """The two-sided p-value of a mean of paired differences against zero; NaN for fewer than `FEWEST`."""
    if len(values) < FEWEST:
        return math.nan
    middle = math.fsum(values) / len(values)
    error = _standard_error(values, middle)
    if not error:
        return 1.0 if not middle else 0.0
    return 2 * _normal_tail(abs(middle) / error)


def _standard_error(values: Sequence[float], middle: float) -> float:
    n = len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1) / n)


def _normal_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))
