"""Numbers beyond what llama.cpp's settings hold are refused in one short sentence, from a value and from a file."""

from __future__ import annotations

import pytest

from workbench.errors import BadRequest
from workbench.setup import Setup

HUGE = 10**400


@pytest.mark.parametrize(
    "section",
    [
        {"sampling": {"temperature": HUGE}},
        {"sampling": {"temperature": 1e39}},
        {"sampling": {"seed": HUGE}},
        {"sampling": {"top_k": 10**5000}},
        {"sampling": {"logit_bias": {"1": HUGE}}},
        {"runtime": {"tensor_split": [HUGE]}},
        {"runtime": {"rope_freq_base": float("inf")}},
    ],
)
def test_a_number_that_is_too_large(section):
    with pytest.raises(BadRequest, match="accepted is") as raised:
        Setup.from_dict(section)
    assert len(str(raised.value)) < 400


def test_a_file_with_thousands_of_digits(tmp_path):
    path = tmp_path / "setup.json"
    path.write_text('{"sampling": {"seed": ' + "9" * 5000 + "}}")
    with pytest.raises(BadRequest, match="thousands of digits"):
        Setup.from_file(path)
