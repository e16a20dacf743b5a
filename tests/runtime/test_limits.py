"""What a build cannot do on a machine is remembered for this build on this machine, and for no other."""

import json
import os
import subprocess
import sys
import threading

import pytest

from workbench import cpu
from workbench.cpu import Features
from workbench.runtime import limits
from workbench.runtime.limits import Limits, forget, known, remember

FOUND = Limits(no_extra_bufts=True, reason="AMX ended a process by SIGILL", refused_variants=("sapphirerapids",))


@pytest.fixture(autouse=True)
def _a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "site-packages" / "llama_cpp"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "libggml-cpu.so.0").write_bytes(b"one")
    return folder


def files(tmp_path):
    return sorted((tmp_path / "cache" / limits.LIMITS).iterdir())


def test_nothing_is_known_at_first(package):
    assert known() == known(package) == Limits()


def test_what_is_remembered_is_known_and_can_be_forgotten(package):
    assert remember(FOUND)
    assert known() == FOUND
    assert known(package) == Limits(), "another build"
    forget()
    assert known() == Limits()
    forget()


def change_library(package, _monkeypatch):
    (package / "lib" / "libggml-cpu.so.0").write_bytes(b"two, longer")


def build_again(package, _monkeypatch):
    os.utime(package / "lib" / "libggml-cpu.so.0", ns=(1, 1))


def add_variant(package, _monkeypatch):
    (package / "lib" / "libggml-cpu-haswell.so").write_bytes(b"")


def install_version(package, _monkeypatch):
    info = package.parent / "llama_cpp_python-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 9.9.9\n")


def other_features(_package, monkeypatch):
    monkeypatch.setattr(cpu, "machine", lambda: Features(("AVX",)))


def other_processor(_package, monkeypatch):
    monkeypatch.setattr(cpu, "cpu_name", lambda: "another")


CHANGES = (change_library, build_again, add_variant, install_version, other_features, other_processor)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_build_or_machine_is_tried_anew(package, monkeypatch, change):
    assert remember(FOUND, package)
    assert known(package) == FOUND
    change(package, monkeypatch)
    assert known(package) == Limits()


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"facts": {}}', "[" * 100_000, '{"facts": {"no_extra_bufts": 1, "reason": "x"}}', "\0"],
)
def test_a_damaged_file_is_nothing_remembered(tmp_path, damage):
    remember(FOUND)
    files(tmp_path)[0].write_text(damage)
    assert known() == Limits()
    assert remember(FOUND)
    assert known() == FOUND


@pytest.mark.parametrize(
    "change", [{"reason": ""}, {"no_extra_bufts": "yes"}, {"reason": None}, {"more": 1}, {"refused_variants": [1]}]
)
def test_a_file_of_another_shape_is_nothing_remembered(tmp_path, change):
    remember(FOUND)
    path = files(tmp_path)[0]
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"facts": data["facts"] | change}))
    assert known() == Limits()


def test_a_file_of_another_machine_under_this_name_is_nothing_remembered(tmp_path):
    remember(FOUND)
    path = files(tmp_path)[0]
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"subject": {}}))
    assert known() == Limits()


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert not remember(FOUND)
    assert known() == Limits()


def test_many_writers_leave_one_whole_file(tmp_path):
    found = [Limits(no_extra_bufts=True, reason=f"{n}" * 2000) for n in range(8)]
    threads = [threading.Thread(target=remember, args=(each,)) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert known() in found
    assert len(files(tmp_path)) == 1


def test_it_needs_the_standard_library_only():
    """Set-up imports it before anything is installed."""
    program = "import sys; import workbench.runtime.limits; print({'numpy', 'llama_cpp', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
