"""Every planted trouble is found, with the command that mends it; without the plant nothing is said."""

import pytest

from tests.doctor.plants import PLANTS

pytestmark = [pytest.mark.xdist_group("doctor")]  # one whole examination for all


@pytest.mark.parametrize("name", PLANTS)
def test_it_is_found_where_it_is_and_only_there(name, planted, healthy):
    expected, plant = PLANTS[name]
    held = plant(planted)
    found = planted.examine(expected.group)[expected.check]
    del held
    assert found["verdict"] == expected.verdict, found
    assert expected.words in found["detail"]
    assert expected.fix in found["fix"]
    without = healthy[expected.check]
    assert without["verdict"] != expected.verdict or expected.words not in without["detail"]


def test_a_healthy_machine_passes(healthy):
    said = {
        name: check["detail"] for name, check in healthy.items() if check["verdict"] not in ("pass", "not evaluated")
    }
    said.pop("installed workbench", None)  # tests may run from a checkout that is not the installed one
    assert said == {}
