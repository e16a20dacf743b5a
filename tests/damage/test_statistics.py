"""Intervals and tests against published figures and against the definition itself."""

import itertools
import math
import random

import pytest

from workbench.damage import statistics


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Newcombe 1998, table I, method 3 (Wilson without continuity correction)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval(right, n, low, high):
    found = statistics.share(right, n)
    assert found.value == right / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_to_estimate_from_is_said_and_is_no_error():
    for found in (statistics.share(0, 0), statistics.mean([1.0]), statistics.ratio([], [])):
        assert all(math.isnan(x) for x in found)
    assert math.isnan(statistics.differs_from_zero([2.0]))


def test_mcnemar_is_the_share_of_splits_as_uneven():
    for only_first, only_second in ((0, 0), (1, 0), (3, 9), (7, 7), (2, 12)):
        n, least = only_first + only_second, min(only_first, only_second)
        flips = list(itertools.product((0, 1), repeat=n))
        uneven = sum(min(sum(flip), n - sum(flip)) <= least for flip in flips) / len(flips)
        assert statistics.mcnemar(only_first, only_second) == pytest.approx(uneven)
    assert statistics.mcnemar(0, 7) == pytest.approx(2 / 2**7)
    assert statistics.mcnemar(400, 1000) < 1e-50
    assert statistics.mcnemar(500, 501) == pytest.approx(1.0, abs=0.02)


def test_a_difference_has_its_sign_and_an_interval_around_it():
    found = statistics.share_difference(30, 10, 500)
    assert found.value == pytest.approx(-0.04)
    assert found.low < -0.04 < found.high < 0
    even = statistics.share_difference(5, 5, 100)
    assert even.low == pytest.approx(-even.high)


def test_intervals_of_means_and_ratios_cover_what_they_should():
    source = random.Random(7)
    covered = [0, 0, 0]
    rounds = 400
    for _ in range(rounds):
        tokens = [float(source.randint(5, 60)) for _ in range(200)]
        nats = [n * 0.2 + source.gauss(0, 2) for n in tokens]
        middle, quotient = statistics.mean(nats), statistics.ratio(nats, tokens)
        covered[0] += middle.low < 0.2 * 32.5 < middle.high
        covered[1] += quotient.low < 0.2 < quotient.high
        covered[2] += statistics.differs_from_zero([x - 0.2 * n for x, n in zip(nats, tokens, strict=True)]) > 0.05
    assert all(0.91 < count / rounds < 0.985 for count in covered), covered


def test_equal_values_differ_from_nothing():
    assert statistics.differs_from_zero([0.0] * 50) == 1.0
    assert statistics.differs_from_zero([1.0] * 50) == 0.0


def test_few_pairs_of_unknown_spread_are_not_tested():
    assert math.isnan(statistics.differs_from_zero([1e-7, 1e-7]))
    source = random.Random(3)
    for n in (statistics.FEWEST, 60):
        false = sum(statistics.differs_from_zero([source.gauss(0, 1) for _ in range(n)]) < 0.01 for _ in range(2000))
        assert false / 2000 < 0.022
