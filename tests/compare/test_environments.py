"""Two environments beside each other: different CPU features are said, alike ones are not."""

import pytest

from workbench.compare.environments import Environments
from workbench.environment import Environment, collect
from workbench.setup import Setup
from workbench.trace import Trace
from workbench.versus.result import Side, Versus
from workbench.views import html_of


def environment(machine=("AVX", "AVX2"), build=("AVX",), **system):
    return Environment.from_dict(
        {"system": {"cpu_features": machine, **system}, "runtime": {"cpu_features": build, "n_ctx": len(build)}}
    )


def test_alike_ones_have_nothing_to_say():
    found = Environments(environment(), environment())
    assert (found.rows, found.features) == ((), ())
    assert Environments(collect(), collect()).features == ()


def test_features_of_one_side_only_are_named_with_their_side():
    found = Environments(environment(("AVX", "AVX-512")), environment(("AVX", "AMX-INT8")))
    (said,) = found.features
    assert said.startswith("the processors have different CPU features")
    assert "only a's has AVX-512; only b's has AMX-INT8" in said
    assert [(row.part, row.name) for row in found.rows] == [("system", "cpu_features")]
    assert said in repr(found)
    assert said in html_of(found).replace("&#x27;", "'")
    assert said in found.to_dict()["features"]


def test_a_build_for_another_machine_is_said_on_the_same_machine():
    found = Environments(environment(build=("AVX", "AVX2")), environment())
    assert [said.partition(" have ")[0] for said in found.features] == ["the builds of llama.cpp"]


@pytest.mark.parametrize(("other", "why"), [("unknown (no list)", "no list"), (None, "nothing was recorded")])
def test_what_is_not_known_of_a_side_is_said(other, why):
    found = Environments(environment(), environment(other))
    assert "is not known" in found.features[0]
    assert f"b's ({why}" in found.features[0].replace("unknown (", "")


def test_a_side_that_computed_nothing_has_no_numbers_to_doubt():
    rendered_only = Environment.from_dict(environment().to_dict() | {"runtime": {}})
    assert Environments(environment(), rendered_only).features == ()


def test_a_run_s_own_facts_are_no_difference_of_environments():
    assert [row.name for row in Environments(environment(), environment(build=("AVX", "F16C"))).rows] == [
        "cpu_features"
    ]
    assert Environments(environment(os="a"), environment(os="<b>")).rows[0][1:] == ("os", "a", "<b>")
    assert "<b>&" not in html_of(Environments(environment(os="a"), environment(os="<b>&")))


def test_two_sides_from_different_machines_are_told_in_versus(tmp_path):
    setup = Setup(model="a.gguf")
    traces = [Trace.from_dict(_trace(machine)) for machine in (("AVX", "AVX-512"), ("AVX",))]
    found = Versus(Side(setup, trace=traces[0]), Side(setup, trace=traces[1]))
    said = "only a's has AVX-512"
    assert said in repr(found)
    assert said in html_of(found).replace("&#x27;", "'")
    assert said in found.to_dict()["environments"]["features"][0]
    alike = Versus(Side(setup, trace=traces[0]), Side(setup, trace=traces[0]))
    assert "different CPU features" not in html_of(alike)


def _trace(machine):
    conversation = {"messages": [{"role": "user", "content": "x"}]}
    return {
        "schema_version": 1,
        "setup": {"model": "a.gguf"},
        "conversation": conversation,
        "environment": environment(machine).to_dict(),
    }
