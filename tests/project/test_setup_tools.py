"""Set-up: which Python, which flags, which wheel, which browser; and one sentence where there is none."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
PYTHON = Path(sys.executable)


def load(name, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def llama_wheel(monkeypatch):
    for name in ("CMAKE_ARGS", "CC", "CXX", "GGUF_WORKBENCH_LLAMA_WHEEL"):
        monkeypatch.delenv(name, raising=False)
    return load("llama_wheel", monkeypatch)


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def install(llama_wheel, monkeypatch, tmp_path):
    """The set-up with its cache, stamps, pip and installed version faked; `pip` calls are listed in `ran`."""
    monkeypatch.setitem(sys.modules, "llama_wheel", llama_wheel)
    module = load("install", monkeypatch)
    monkeypatch.setattr(module, "STAMPS", tmp_path / "stamps.json")
    monkeypatch.setattr(module, "PYTHON", PYTHON)
    monkeypatch.setattr(module, "pinned", lambda name: "0.3.36")
    monkeypatch.setattr(module, "ran", [], raising=False)
    monkeypatch.setattr(module, "pip", lambda *arguments: module.ran.append(arguments))
    monkeypatch.setattr(llama_wheel, "find_or_build", lambda *arguments: tmp_path / "built.whl")
    return module


def test_a_fresh_machine_gets_a_build_that_is_then_checked(install, monkeypatch):
    monkeypatch.setattr(install, "version_in_venv", lambda name: None)
    assert install.install_llama({}) is not None
    assert len(install.ran) == 1
    assert install.read_stamps() == {"llama": install.UNFINISHED}


KEPT = [
    ({}, None, True),  # installed by hand: nothing is known of it
    ({}, "-DGGML_CUDA=ON", True),
    ({"llama": "KEY", "pinned": "0.3.36"}, None, True),
    ({"llama": "built with CUDA in another shell", "pinned": "0.3.36"}, None, True),
    ({"llama": "built for the processor alone", "pinned": "0.3.36"}, "-DGGML_CUDA=ON", False),
    ({"llama": "KEY", "pinned": "0.3.36"}, "-DGGML_CUDA=ON", True),
    ({"llama": "KEY", "pinned": "0.3.35"}, None, False),
    ({"llama": "installed, not checked yet", "pinned": "0.3.36"}, None, False),
]


@pytest.mark.parametrize(("stamps", "flags", "kept"), KEPT)
def test_what_is_installed_stays_unless_something_else_is_asked_for(
    install, llama_wheel, monkeypatch, stamps, flags, kept
):
    monkeypatch.setattr(install, "version_in_venv", lambda name: "0.3.36")
    monkeypatch.setattr(llama_wheel, "key", lambda version, python: "KEY")
    if flags:
        monkeypatch.setenv("CMAKE_ARGS", flags)
    assert (install.install_llama(dict(stamps)) is None) == kept
    assert (install.ran == []) == kept


FLAGS = [
    (None, "-DGGML_RPC=ON"),
    ("", "-DGGML_RPC=ON"),
    ("-DGGML_CUDA=ON", "-DGGML_CUDA=ON -DGGML_RPC=ON"),
    ("-DGGML_RPC=OFF -DGGML_METAL=ON", "-DGGML_RPC=OFF -DGGML_METAL=ON"),
]


@pytest.mark.parametrize(("own", "used"), FLAGS)
def test_rpc_is_added_to_the_users_own_flags(llama_wheel, monkeypatch, own, used):
    if own is not None:
        monkeypatch.setenv("CMAKE_ARGS", own)
    assert llama_wheel.cmake_args() == used


def test_a_build_is_kept_under_all_that_shapes_it(llama_wheel, monkeypatch):
    plain = llama_wheel.key("0.3.36", PYTHON)
    assert plain == llama_wheel.key("0.3.36", PYTHON)
    assert plain != llama_wheel.key("0.3.37", PYTHON)
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=ON -DX=1")
    cuda = llama_wheel.key("0.3.36", PYTHON)
    monkeypatch.setenv("CMAKE_ARGS", "-DX=1  -DGGML_CUDA=ON")
    assert llama_wheel.key("0.3.36", PYTHON) == cuda != plain
    monkeypatch.setattr(llama_wheel, "processor", lambda: "another")
    assert llama_wheel.key("0.3.36", PYTHON) != cuda


def test_a_wheel_that_the_user_has_is_used(llama_wheel, monkeypatch, tmp_path):
    wheel = tmp_path / "llama_cpp_python-0.3.36-py3-none-any.whl"
    monkeypatch.setenv("GGUF_WORKBENCH_LLAMA_WHEEL", str(wheel))
    with pytest.raises(llama_wheel.SetupError, match="no file is there"):
        llama_wheel.find_or_build("0.3.36", PYTHON, tmp_path, print)
    wheel.touch()
    assert llama_wheel.find_or_build("0.3.36", PYTHON, tmp_path, print) == wheel


def test_a_kept_build_is_used_again(llama_wheel, tmp_path):
    wheel = tmp_path / "wheels" / llama_wheel.key("0.3.36", PYTHON) / "kept.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert llama_wheel.find_or_build("0.3.36", PYTHON, tmp_path, lambda _: None) == wheel


def test_without_a_compiler_one_sentence_says_what_to_install(llama_wheel, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(llama_wheel.SetupError, match="build-essential"):
        llama_wheel.check_compiler()


def test_a_failed_build_keeps_its_log_and_shows_its_end(llama_wheel, monkeypatch, tmp_path):
    source = tmp_path / "broken-1.tar.gz"
    source.write_bytes(b"no archive")
    with pytest.raises(llama_wheel.SetupError, match="its last lines"):
        llama_wheel.build(source, PYTHON, tmp_path / "wheels/key", lambda _: None)
    assert (tmp_path / "wheels/build.log").read_text()
    assert not (tmp_path / "wheels/key").exists()


def test_progress_of_a_build_is_read_from_ninja_and_make(llama_wheel):
    assert llama_wheel.STEP.search("[12/340] Building CXX object")[0] == "[12/340]"
    assert llama_wheel.STEP.search("[ 45%] Building CXX object")[0] == "[ 45%]"


def test_an_old_python_hands_over_to_a_newer_one_or_says_so(tmp_path):
    old = program(tmp_path / "python3", "echo 3 9")
    bare = {"PATH": str(tmp_path), "PYTHON": str(old)}
    script = (
        "import sys; sys.argv = ['bootstrap.py']; sys.path.insert(0, sys.argv.pop() and 'TOOLS'); import bootstrap;"
        "sys.executable = ''; print(bootstrap.find_python())"
    ).replace("TOOLS", str(TOOLS))
    done = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
    program(tmp_path / "python3.12", "echo 3 12")
    done = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "python3.12"


def test_a_second_setup_has_nothing_to_do():
    """Without an index pip can install nothing: a test never changes the environment that it runs in."""
    cut_off = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    setup = [sys.executable, TOOLS / "bootstrap.py"]
    done = subprocess.run(setup, capture_output=True, text=True, env=os.environ | cut_off)
    assert done.stdout == "setup: everything is in place\n", f"run make setup before the tests: {done.stderr}"


def browser(tmp_path, **environment):
    command = [sys.executable, TOOLS / "browser.py"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_named_browser_is_used_where_it_starts(tmp_path):
    good = program(tmp_path / "mine", "exit 0")
    assert browser(tmp_path, WORKBENCH_CHROMIUM=str(good), PATH=os.defpath).stdout == f"{good}\n"


def test_a_stub_is_no_browser(monkeypatch, tmp_path):
    module = load("browser", monkeypatch)
    program(tmp_path / "chromium-browser", "echo install the snap >&2; exit 1")
    good = program(tmp_path / "google-chrome", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.delenv("WORKBENCH_CHROMIUM", raising=False)
    monkeypatch.setattr(module, "NAMES", ("chromium-browser", "google-chrome"))
    tried = []
    assert module.already_there(tried) == str(good)
    assert tried == ["chromium-browser: does not start"]


def test_without_any_browser_it_fails_and_lists_what_was_tried(monkeypatch, capsys):
    module = load("browser", monkeypatch)
    for name in ("already_there", "from_debian", "from_playwright"):
        monkeypatch.setattr(module, name, lambda tried, name=name: tried.append(f"{name} failed"))
    assert module.main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "from_debian failed" in printed.err
    assert "WORKBENCH_CHROMIUM" in printed.err
