"""Random numbers as llama.cpp's generator gives them."""

from itertools import islice

from workbench.sampling.numbers import _words, doubles, floats


def test_the_generator_is_the_standards():
    """[rand.predef]: the 10000th consecutive output of a default-constructed mt19937 (seed 5489) is 4123659995."""
    assert next(islice(_words(5489), 9999, None)) == 4123659995


def test_numbers_lie_in_zero_to_one_and_depend_on_the_seed():
    for make in (doubles, floats):
        numbers = list(islice(make(7), 5000))
        assert all(0 <= number < 1 for number in numbers)
        assert 0.45 < sum(numbers) / len(numbers) < 0.55
        assert numbers[:5] == list(islice(make(7), 5)) != list(islice(make(8), 5))


def test_a_double_takes_two_outputs_and_a_float_one():
    words = list(islice(_words(3), 4))
    assert list(islice(doubles(3), 2)) == [(words[i] + words[i + 1] * 2**32) / 2**64 for i in (0, 2)]
    assert abs(next(floats(3)) - words[0] / 2**32) < 1e-7
