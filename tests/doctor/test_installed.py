"""Metadata as they are found: whatever stands in them, a package is read or is named as damaged."""

from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import given

from workbench.doctor.installed import OWN, asked_for, bare, first, packages
from workbench.doctor.look import Look
from workbench.doctor.records import hashes, sizes
from workbench.doctor.sources import _words

HEAD = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
MARKS = [",", '"', ":", "{", "}", "[", "\n", "\0", "²", "7", "../x", "a/b.py", "sha256="]
HEADERS = ["thing", "1.0", "Version: ", "Requires-Dist: ", "a>=1", "; extra == 'x'", "; os_name > 'b'"]
SOURCES = ['"url": ', '"http://["', '"vcs_info": ']
PIECES = st.sampled_from([*MARKS, *HEADERS, *SOURCES])
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)
CONTENTS = (TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))) | st.binary(max_size=20)


@given(CONTENTS | TEXTS.map(lambda text: (HEAD + text).encode("utf-8", "surrogatepass")), CONTENTS, CONTENTS)
def test_any_metadata_are_read_or_named(about, record, source):
    with TemporaryDirectory() as place:
        folder = Path(place, "thing-1.0.dist-info")
        folder.mkdir()
        for name, content in (("METADATA", about), ("RECORD", record), ("direct_url.json", source)):
            (folder / name).write_bytes(content)
        found = packages([place])
        assert len(found.packages) + len(found.damaged) == 1
        assert found.damaged in ((), (folder,))
        for package in found.packages:
            assert list(package.requirements("x")) is not None
            assert isinstance(_words(package), str)
            assert list(sizes(package)) is not None
            assert len(hashes(package, Look())[1]) == 64


def written(place, name, *requires, version="1.0"):
    folder = Path(place, f"{name}-{version}.dist-info")
    folder.mkdir()
    lines = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {asked}" for asked in requires),
    ]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")


def test_what_is_needed_follows_extras_and_ends_in_a_circle(tmp_path):
    written(tmp_path, OWN, "a[fast]", "b; extra == 'lab'", "c; extra == 'test'", "gone; python_version < '3'")
    written(tmp_path, "a", "d; extra == 'fast'", "a[slow]; extra == 'fast'", "e; extra == 'other'")
    written(tmp_path, "d", f"{OWN}[lab]", "a[fast]")
    for name in "bce":
        written(tmp_path, name)
    by_name = first(packages([str(tmp_path)]).packages)
    assert {name for name, _ in asked_for(by_name)} == {OWN, "a", "b", "d"}
    assert {name for name, _ in asked_for(by_name, ("", "test"))} == {OWN, "a", "b", "c", "d"}
    assert asked_for({}) == ()


@pytest.mark.parametrize("url", ["http://[", "", "x", "//", "http://u:p@h:1/a?b=c"])
def test_any_url_is_shown_without_a_secret(url):
    assert "u:p" not in bare(url)
