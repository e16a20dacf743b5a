"""Two machines by their environments: what is different, what it can change, and files that are none of doctor's."""

import json
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from workbench.doctor.against import PARTS, by_effect, differences, from_effects, ordered, read_other
from workbench.doctor.check import Check
from workbench.doctor.effects import FACTS, PACKAGES
from workbench.doctor.result import Doctor
from workbench.environment import Environment
from workbench.errors import BadFile
from workbench.values import FrozenJSON

HERE: dict[str, Any] = {
    "versions": {"jinja2": "3.1.6", "numpy": "2.4.6", "tokenizers": "0.23.3", "black": "24.1"},
    "system": {"python": "3.11.7", "cpu": "one", "cpu_features": ["AVX", "AVX2"], "processors": 2},
    "runtime": {"library": "0.5", "devices": [{"name": "CPU"}], "engines": {"ollama": "1"}},
    "files": {"demo model": {"sha256": "aa"}, "package jinja2": {"fingerprint": "bb"}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def changed(part, name, value):
    return Environment.from_dict({**HERE, part: {**HERE[part], name: value}})


@pytest.mark.parametrize(
    ("part", "name", "value", "effects"),
    [
        ("versions", "jinja2", "3.1.5", {"rendering"}),
        ("versions", "tokenizers", "0.21", {"ids"}),
        ("versions", "numpy", "1.26", {"numbers"}),
        ("versions", "gguf-workbench", "9", {"rendering", "ids", "numbers", "parsing"}),
        ("versions", "black", "25", {"nothing"}),
        ("system", "python", "3.13.0", {"rendering", "parsing"}),
        ("system", "cpu_features", ["AVX"], {"numbers"}),
        ("system", "processors", 64, {"numbers"}),
        ("runtime", "devices", [{"name": "CUDA0"}], {"numbers"}),
        ("runtime", "engines", {"ollama": "2"}, {"rendering"}),
        ("files", "demo model", {"sha256": "cc"}, {"rendering", "ids", "numbers"}),
        ("files", "package jinja2", {"fingerprint": "cc"}, {"rendering"}),
        ("files", "something new", 1, {"nothing"}),
    ],
)
def test_a_difference_stands_under_what_it_can_change(part, name, value, effects):
    groups = by_effect(differences(Environment.from_dict(HERE), changed(part, name, value)))
    assert {effect for effect, rows in groups.items() if rows} == effects
    row = {"part": part, "name": name, "here": HERE[part].get(name), "there": value}
    assert all(groups[effect] == [row] for effect in effects)


def as_text(facts, name):
    return json.dumps(facts.get(name), sort_keys=True)


@given(*[st.dictionaries(st.sampled_from([*PACKAGES, *[name for _, name in FACTS], "x"]), JSON, max_size=4)] * 2)
def test_differences_are_those_of_the_facts_seen_from_both_sides(a, b):
    one, two = (Environment.from_dict(dict.fromkeys(PARTS, facts)) for facts in (a, b))
    found = differences(one, two)
    assert {item.name for item in found} == {name for name in {**a, **b} if as_text(a, name) != as_text(b, name)}
    mirrored = [item._replace(here=item.there, there=item.here) for item in differences(two, one)]
    assert list(found) == mirrored
    assert from_effects(by_effect(found)) == ordered(found)
    assert differences(one, one) == ()


def written(tmp_path, **changes):
    data = {"schema_version": 1, "checks": [], "environment": HERE} | changes
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data))
    return path


def test_what_doctor_printed_is_read(tmp_path):
    assert read_other(written(tmp_path)) == Environment.from_dict(HERE)


FOREIGN = [
    ({"schema_version": 2}, "schema_version is 2"),
    ({"checks": None}, "it has no checks"),
    ({"environment": []}, "it has no environment"),
    ({"environment": {**HERE, "system": "Linux"}}, "its environment has no system"),
]


@pytest.mark.parametrize(("changes", "words"), FOREIGN)
def test_what_another_command_printed_is_refused(tmp_path, changes, words):
    with pytest.raises(BadFile, match=words):
        read_other(written(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"7", b"[]", b"NaN"])
def test_what_is_no_json_or_no_object_is_refused(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"is no JSON|is no output of doctor"):
        read_other(path)


def test_what_is_no_file_or_too_large_is_refused(tmp_path):
    for path, words in (
        (tmp_path, "is no file"),
        (tmp_path / "gone", "is no file"),
        (tmp_path / ("x" * 300), "no file|long"),
    ):
        with pytest.raises(BadFile, match=words):
            read_other(path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(BadFile, match="bytes long"):
        read_other(large)


def test_an_examination_survives_its_json():
    environment = Environment.from_dict(HERE)
    other = replace(environment, system=FrozenJSON({**HERE["system"], "cpu": "two"}))
    value = Doctor((Check("browser", "warn", "none", "install one"),), environment, differences(environment, other))
    assert Doctor.from_dict(json.loads(value.to_json())) == value
    assert value.apart
    assert not replace(value, differences=()).apart
