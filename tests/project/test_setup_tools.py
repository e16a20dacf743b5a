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
    """The set-up with its cache, stamps, pip, proofs and installed version faked; what it did is listed in `ran`.

    A build is a file named after its flavour; `verdicts` says which of them are proven (others are).
    """
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "llama_wheel", llama_wheel)
    module = load("install", monkeypatch)
    monkeypatch.setattr(module, "STAMPS", tmp_path / "stamps.json")
    monkeypatch.setattr(module, "PYTHON", PYTHON)
    monkeypatch.setattr(module, "pinned", lambda name: "0.3.36")
    monkeypatch.setattr(module, "version_in_venv", lambda name: None)
    for name in ("ran", "said"):
        monkeypatch.setattr(module, name, [], raising=False)
    monkeypatch.setattr(module, "verdicts", {}, raising=False)
    monkeypatch.setattr(module, "pip", lambda *arguments: module.ran.append(Path(arguments[-1]).stem))
    monkeypatch.setattr(module, "say", module.said.append)

    def wheel_of(version, python, cache, flavour, say):
        folder = cache / "wheels" / llama_wheel.key(version, python, flavour)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{flavour.name}.whl"

    def proof(*, strict):
        usable = module.verdicts.get(module.ran[-1], True)
        return module.Outcome(usable if usable in (True, False) else not strict, f"{module.ran[-1]} was tried")

    monkeypatch.setattr(llama_wheel, "find_or_build", wheel_of)
    monkeypatch.setattr(module, "proof", proof)
    monkeypatch.setattr(module.records, "read", lambda kind, package: None)
    return module


def set_up(install):
    stamps = install.read_stamps()
    install.install_llama(stamps)
    install.prove_llama(stamps)
    return install.read_stamps()


AMX = ("SSE4.2", "AVX", "F16C", "FMA", "BMI2", "AVX2", "AVX-512", "AVX-512 VNNI", "AMX-TILE", "AMX-INT8")


@pytest.fixture
def native(llama_wheel, monkeypatch):
    """A processor with AMX for which a build of its own is asked for."""
    monkeypatch.setenv("CMAKE_ARGS", "-DX=1")
    monkeypatch.setattr(llama_wheel.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(llama_wheel.cpu, "machine", lambda: llama_wheel.cpu.Features(AMX))


def test_a_fresh_machine_gets_one_build_which_is_then_proven(install):
    stamps = set_up(install)
    assert len(install.ran) == 1
    assert stamps["llama"] == install.asked_for("0.3.36")
    assert stamps["pinned"] == "0.3.36"


def test_a_build_counts_only_once_it_is_proven(install):
    stamps = {}
    install.install_llama(stamps)
    assert install.read_stamps()["llama"] == install.UNFINISHED
    install.verdicts[install.ran[-1]] = False
    with pytest.raises(install.SetupError, match=r"does not work here: .* was tried; name a wheel"):
        install.prove_llama(stamps)
    assert install.read_stamps()["llama"] == install.UNFINISHED


def test_a_native_build_that_fails_is_built_again_with_less_until_one_is_proven(install, native):
    install.verdicts |= {"native": False, "without-amx": False}
    set_up(install)
    assert install.ran == ["native", "without-amx", "without-avx512"]
    assert "native was tried; building again, without-amx" in install.said
    again = {}
    install.ran.clear()
    install.install_llama(again)
    assert install.ran == ["without-avx512"], "what failed here is not tried again by the next environment"


def test_the_last_of_the_builds_is_taken_as_far_as_it_works(install, native):
    install.verdicts |= dict.fromkeys(["native", "without-amx", "without-avx512", "without-avx2"], "without buffers")
    install.verdicts["without-avx"] = "without buffers"
    set_up(install)
    assert install.ran[-1] == "without-avx"


def test_flags_name_what_is_left_out_and_what_is_not(llama_wheel, native):
    flavours = {flavour.name: flavour.flags for flavour in llama_wheel.flavours()}
    assert list(flavours) == ["native", "without-amx", "without-avx512", "without-avx2", "without-avx"]
    assert "GGML_NATIVE" not in flavours["native"]
    assert "-DGGML_AVX512=ON" in flavours["without-amx"]
    assert "-DGGML_AMX_INT8=OFF" in flavours["without-amx"]
    assert "-DGGML_AVX512_VBMI=OFF" in flavours["without-amx"], "the processor has none"
    assert "-DGGML_AVX512=OFF" in flavours["without-avx512"]
    assert all("-DX=1" in flags and "-DGGML_RPC=ON" in flags for flags in flavours.values())


def test_a_wheel_of_the_users_own_that_fails_is_refused_in_a_sentence(install, monkeypatch, tmp_path):
    wheel = tmp_path / "mine.whl"
    wheel.touch()
    monkeypatch.setenv("GGUF_WORKBENCH_LLAMA_WHEEL", str(wheel))
    install.verdicts["mine"] = False
    with pytest.raises(install.SetupError, match=r"mine.whl cannot be used here: mine was tried; name a wheel"):
        set_up(install)
    install.verdicts["mine"] = "without buffers"
    install.ran.clear()
    assert set_up(install)["llama"] == str(wheel)
    assert install.ran == ["mine"]


def test_where_no_portable_build_is_possible_one_for_this_processor_is_made(install, llama_wheel, monkeypatch):
    portable = llama_wheel.Flavour("portable", "-DX", native=False)
    monkeypatch.setattr(llama_wheel, "flavours", lambda: [portable])
    wheel_of = llama_wheel.find_or_build

    def fails(version, python, cache, flavour, say):
        if not flavour.native:
            raise llama_wheel.SetupError("the compiler is too old")
        return wheel_of(version, python, cache, flavour, say)

    monkeypatch.setattr(llama_wheel, "find_or_build", fails)
    set_up(install)
    assert install.ran == ["native"]
    assert any("no portable llama.cpp can be built here: the compiler is too old" in line for line in install.said)


def test_what_is_proven_is_not_proven_again(install, monkeypatch):
    stamps = set_up(install)
    monkeypatch.setattr(install.records, "read", lambda kind, package: {"proofs": []})
    monkeypatch.setattr(install, "proof", lambda **_: pytest.fail("proven twice"))
    install.prove_llama(stamps)


KEPT = [
    ({}, None, True),  # installed by hand: nothing is known of it
    ({}, "-DGGML_CUDA=ON", True),
    ({"llama": "KEY", "pinned": "0.3.36"}, None, True),
    ({"llama": "built with CUDA in another shell", "pinned": "0.3.36"}, None, True),
    ({"llama": "built for the processor alone", "pinned": "0.3.36"}, "-DGGML_CUDA=ON", False),
    ({"llama": "KEY", "pinned": "0.3.36"}, "-DGGML_CUDA=ON", True),
    ({"llama": "KEY", "pinned": "0.3.35"}, None, False),
    ({"llama": "installed, not proven yet", "pinned": "0.3.36"}, None, False),
]


@pytest.mark.parametrize(("stamps", "flags", "kept"), KEPT)
def test_what_is_installed_stays_unless_something_else_is_asked_for(
    install, llama_wheel, monkeypatch, stamps, flags, kept
):
    monkeypatch.setattr(install, "version_in_venv", lambda name: "0.3.36")
    monkeypatch.setattr(llama_wheel, "key", lambda version, python, flavour: "KEY")
    if flags:
        monkeypatch.setenv("CMAKE_ARGS", flags)
    install.install_llama(dict(stamps))
    assert (install.ran == []) == kept


FLAGS = [
    ("", "-DGGML_RPC=ON"),
    ("-DGGML_CUDA=ON", "-DGGML_RPC=ON -DGGML_CUDA=ON"),
    ("-DGGML_RPC=OFF -DGGML_METAL=ON", "-DGGML_RPC=OFF -DGGML_METAL=ON"),
]


@pytest.mark.parametrize(("own", "used"), FLAGS)
def test_rpc_is_added_to_the_users_own_flags(llama_wheel, own, used):
    assert llama_wheel.with_rpc(own) == used


def test_a_build_is_kept_under_all_that_shapes_it(llama_wheel, monkeypatch):
    def key(flags, *, version="0.3.36", native=True):
        return llama_wheel.key(version, PYTHON, llama_wheel.Flavour("name", flags, native))

    assert key("-DA") == key("-DA")
    assert len({key("-DA"), key("-DB"), key("-DA", version="0.3.37"), key("-DA", native=False)}) == 4
    assert key("-DA -DB") == key("-DB  -DA")
    before = key("-DA"), key("-DA", native=False)
    monkeypatch.setattr(llama_wheel, "processor", lambda: "another")
    assert key("-DA") != before[0]
    assert key("-DA", native=False) == before[1], "a portable one serves any processor"


def test_a_wheel_that_the_user_names_must_be_there(llama_wheel, monkeypatch, tmp_path):
    assert llama_wheel.own_wheel() is None
    wheel = tmp_path / "llama_cpp_python-0.3.36-py3-none-any.whl"
    monkeypatch.setenv("GGUF_WORKBENCH_LLAMA_WHEEL", str(wheel))
    with pytest.raises(llama_wheel.SetupError, match="no file is there"):
        llama_wheel.own_wheel()
    wheel.touch()
    assert llama_wheel.own_wheel() == wheel


def test_a_kept_build_is_used_again(llama_wheel, tmp_path):
    flavour = llama_wheel.flavours()[0]
    wheel = tmp_path / "wheels" / llama_wheel.key("0.3.36", PYTHON, flavour) / "kept.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert llama_wheel.find_or_build("0.3.36", PYTHON, tmp_path, flavour, lambda _: None) == wheel


def test_a_compiler_that_does_not_know_every_instruction_set_makes_no_portable_build(
    llama_wheel, monkeypatch, tmp_path
):
    monkeypatch.setattr(llama_wheel.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(llama_wheel.sys, "platform", "linux")
    monkeypatch.setenv("CXX", str(program(tmp_path / "new", "cat >/dev/null")))
    assert [flavour.name for flavour in llama_wheel.flavours()] == ["portable"]
    monkeypatch.setenv("CXX", str(program(tmp_path / "old", "cat >/dev/null; case $* in *amx*) exit 1;; esac")))
    assert llama_wheel.flavours()[0].name == "native"
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    assert llama_wheel.flavours()[0].name == "native"


def test_without_a_compiler_one_sentence_says_what_to_install(llama_wheel, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(llama_wheel.SetupError, match="build-essential"):
        llama_wheel.check_compiler()


def test_a_failed_build_keeps_its_log_and_shows_its_end(llama_wheel, monkeypatch, tmp_path):
    source = tmp_path / "broken-1.tar.gz"
    source.write_bytes(b"no archive")
    native = llama_wheel.Flavour("native", "-DX")
    with pytest.raises(llama_wheel.SetupError, match="its last lines"):
        llama_wheel.build(source, PYTHON, tmp_path / "wheels/key", native, lambda _: None)
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
