"""The random numbers that llama.cpp's samplers draw from a seed, computed beside them.

llama.cpp hands out no number. Its samplers draw from a std::mt19937 of their own, whose 32-bit outputs the C++
standard fixes; a double is made of two of them and a float of one, as the libraries of GCC and clang do:
https://github.com/gcc-mirror/gcc/blob/releases/gcc-13.2.0/libstdc++-v3/include/bits/random.tcc#L3348
So what stands here is true where the number falls on the token that was drawn, which the caller checks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

WORDS = 2**32


def doubles(seed: int) -> Iterator[float]:
    """Numbers in [0, 1) as std::uniform_real_distribution<double> and std::discrete_distribution draw them."""
    words = _words(seed)
    for low in words:
        number = (float(low) + float(next(words)) * WORDS) / float(WORDS) ** 2
        yield min(number, float(np.nextafter(1.0, 0.0)))


def floats(seed: int) -> Iterator[float]:
    """Numbers in [0, 1) as std::uniform_real_distribution<float> draws them."""
    for word in _words(seed):
        yield float(min(np.float32(word) / np.float32(WORDS), np.nextafter(np.float32(1), np.float32(0))))


def _words(seed: int) -> Iterator[int]:
    """The generator's own outputs: numpy's legacy generator is the same one with the same seeding."""
    generator = np.random.RandomState(seed)  # the new ones are other generators
    while True:
        yield from generator.randint(0, WORDS, size=64, dtype=np.uint32).tolist()
