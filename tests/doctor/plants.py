"""Real troubles: each plants one, and says which check finds it, in which words, with which command."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from tests.doctor.conftest import ROOT, SITE
from workbench import cpu
from workbench.data import DEMO_MODEL, toolsmith
from workbench.engines.ollama_build import module_path
from workbench.proof import Proof, Result, Settled
from workbench.proof.settle import PROOFS
from workbench.runtime import records
from workbench.runtime.limits import Limits


class Plant(NamedTuple):
    group: str
    check: str
    verdict: str
    words: str
    fix: str


PLANTS = {}


def plants(group, check, verdict, words, fix):
    def add(function):
        PLANTS[function.__name__] = (Plant(group, check, verdict, words, fix), function)
        return function

    return add


def rewrite(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def version(about, number):
    """Give the copied metadata another version."""
    old = about.name.removesuffix(".dist-info").rpartition("-")[2]
    rewrite(about / "METADATA", f"\nVersion: {old}\n", f"\nVersion: {number}\n")


@plants("engines", "engine llama.cpp", "fail", "wasm", "ggufdoctor==")
def a_deleted_engine_file(planted):
    planted.package("ggufdoctor", "ggufdoctor")
    for module in (planted.front / "ggufdoctor").rglob("*.wasm"):
        module.unlink()


@plants("records", "package files", "fail", "jinja2/filters.py is changed", "--force-reinstall --no-deps jinja2==")
def a_changed_file_of_a_package(planted):
    planted.package("jinja2", "jinja2")
    with (planted.front / "jinja2/filters.py").open("a") as file:
        file.write("\n")


@plants("records", "package files", "fail", "anywidget/widget.py is missing", "anywidget==")
def a_missing_file_of_a_package(planted):
    planted.package("anywidget", "anywidget")
    (planted.front / "anywidget/widget.py").unlink()


@plants("records", "package files", "warn", "bin/f2py is missing", "numpy==")
def a_missing_command_of_a_package(planted):
    for name in ("numpy", "numpy.libs"):
        (planted.front / name).symlink_to(SITE / name)
    planted.package("numpy")


@plants("records", "package metadata", "fail", "markupsafe", "pip install --force-reinstall --no-deps markupsafe")
def metadata_that_cannot_be_read(planted):
    (planted.package("markupsafe") / "METADATA").write_bytes(b"\xff\xfe")


@plants("models", "demo model", "fail", "is expected", "-m workbench.demo_model")
def a_wrong_demo_model(planted):
    (planted.own_cache() / "models").mkdir()
    shutil.copyfile(toolsmith(), planted.cache / "models" / DEMO_MODEL)


@plants("models", "demo model", "fail", "cannot be read", "-m workbench.demo_model")
def no_demo_model(planted):
    planted.own_cache()


@plants("models", "toolsmith", "fail", "is expected", "data/toolsmith")
def a_changed_toolsmith(planted):
    shutil.copytree(ROOT / "workbench", planted.front / "workbench")
    (planted.front / "tools").mkdir()
    (planted.front / "tools/install.py").touch()  # a checkout
    weights = planted.front / "data/toolsmith/toolsmith-f16.gguf"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(toolsmith().read_bytes()[:-1] + b"\0")


@plants("sources", "package sources", "warn", "git https://example.org/fork at 0123456789ab", "jinja2")
def a_fork_from_a_url(planted):
    source = {
        "url": "https://user:secret@example.org/fork",
        "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"},
    }
    (planted.package("jinja2", "jinja2") / "direct_url.json").write_text(json.dumps(source))


@plants("pins", "pinned versions", "warn", "jinja2 3.1.0", "jinja2")
def a_package_of_another_version(planted):
    version(planted.package("jinja2", "jinja2"), "3.1.0")


@plants("requirements", "versions together", "fail", "needs numpy>=", "numpy>=")
def a_package_that_is_too_old(planted):
    version(planted.package("numpy"), "1.1")


@plants("requirements", "versions together", "warn", "needs gguf>=", "gguf>=")
def gguf_of_an_incompatible_version(planted):
    version(planted.package("gguf", "gguf"), "0.1.0")


@plants("requirements", "versions together", "fail", "markupsafe", "newer")
def a_python_too_old_for_a_package(planted):
    about = planted.package("markupsafe", "markupsafe")
    rewrite(about / "METADATA", "\nRequires-Python:", "\nRequires-Python: >=3.99\nIgnored:")


@plants("requirements", "versions together", "fail", "markupsafe", "markupsafe")
def a_package_that_is_not_installed(planted):
    about = planted.package("jinja2", "jinja2")
    rewrite(
        about / "METADATA",
        "\nRequires-Dist: MarkupSafe>=2.0",
        "\nRequires-Dist: MarkupSafe>=2.0\nRequires-Dist: no-such-markupsafe",
    )


@plants("browser", "browser", "warn", "none is found", "WORKBENCH_CHROMIUM")
def no_browser(planted):
    planted.environment |= {"PATH": str(planted.front)}
    planted.environment.pop("WORKBENCH_CHROMIUM", None)


@plants("compiler", "compiler", "warn", "no C compiler and C++ compiler found", "build-essential")
def no_compiler(planted):
    planted.environment |= {"PATH": str(planted.front)}


@plants("build", "processor", "fail", "which this processor does not have", "pip install")
def a_wheel_built_for_another_cpu(planted):
    """The build's own word for a feature, made to say yes by a library that is loaded before it."""
    lacking = next(name for name in ("NEON", "AVX") if name not in cpu.machine().names)
    source, shim = planted.folder / "shim.c", planted.folder / "shim.so"
    source.write_text(f"int ggml_cpu_has_{lacking.lower()}(void) {{ return 1; }}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=True)
    planted.environment["LD_PRELOAD"] = str(shim)


@plants("build", "llama-cpp-python", "fail", "is built for", "llama")
def a_wheel_built_for_another_machine(planted):
    planted.package("llama_cpp_python", "llama_cpp")
    for library in (planted.front / "llama_cpp/lib").glob("*.so*"):
        content = bytearray(library.read_bytes())
        other = {62: 183, 183: 62}[struct.unpack_from("<H", content, 18)[0]]
        struct.pack_into("<H", content, 18, other)
        library.write_bytes(content)


@plants("build", "llama-cpp-python", "fail", "libllama.so is of", "llama")
def half_a_libllama(planted):
    planted.package("llama_cpp_python", "llama_cpp")
    for library in (planted.front / "llama_cpp/lib").glob("libllama.*"):
        os.truncate(library, library.stat().st_size // 2)


@plants("build", "llama-cpp-python", "fail", "llama_of_tomorrow", "llama")
def bindings_that_the_library_does_not_have(planted):
    planted.package("llama_cpp_python", "llama_cpp")
    with (planted.front / "llama_cpp/llama_cpp.py").open("a") as file:
        file.write("\n_lib.llama_of_tomorrow\n")


@plants("proof", "proof of the build", "warn", "cannot be read as a record", "-m workbench.proof")
def a_broken_proof_record(planted):
    (planted.own_cache() / PROOFS).mkdir()
    (planted.cache / PROOFS / "0123.json").write_text('{"facts": {"proofs": [')


@plants("proof", "proof of the build", "fail", "Q4_0 with extra buffers was ended by SIGILL", "-m workbench.proof")
def a_build_that_failed_its_proof(planted):
    died = Result("Q4_0", True, "died", "was ended by SIGILL in: a prompt of 64 tokens")
    settled = Settled((Proof("", (), (died,)),), None, Limits())
    with mock.patch.dict(os.environ, GGUF_WORKBENCH_CACHE=str(planted.own_cache())):
        assert records.write(PROOFS, settled.to_dict())


@plants("twins", "import path", "warn", "llama_cpp comes from", "PYTHONPATH")
def two_llama_cpp(planted):
    (planted.front / "llama_cpp").mkdir()
    (planted.front / "llama_cpp/__init__.py").touch()


@plants("twins", "import names", "warn", "httpx is provided by", "uninstall --yes httpx-fork")
def two_packages_of_one_import(planted):
    about = planted.package("httpx", "httpx")
    fork = about.rename(about.with_name("httpx_fork-1.0.dist-info"))
    rewrite(fork / "METADATA", "\nName: httpx\n", "\nName: httpx-fork\n")


@plants("sources", "installed workbench", "fail", "no workbench is there any more", "--editable")
def a_stale_editable_install(planted):
    about = planted.package("gguf-workbench")
    source = {"url": (planted.folder / "gone").as_uri(), "dir_info": {"editable": True}}
    (about / "direct_url.json").write_text(json.dumps(source))


@plants("room", "memory", "fail", "the demo model takes more than", "ulimit -v")
def no_memory(planted):
    planted.limits.append((resource.RLIMIT_DATA, 200 * 2**20))
    planted.environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy takes some for each


@plants("room", "cache folder", "fail", "nothing can be kept", "GGUF_WORKBENCH_CACHE")
def a_full_cache_folder(planted):
    planted.limits.append((resource.RLIMIT_FSIZE, 4096))


@plants("room", "cache folder", "fail", "nothing can be kept", "GGUF_WORKBENCH_CACHE")
def an_unwritable_cache(planted):
    planted.environment["GGUF_WORKBENCH_CACHE"] = "/dev/null/cache"


@plants("surroundings", "temporary folder", "fail", "nothing can be written", "TMPDIR")
def a_full_temporary_folder(planted):
    planted.limits.append((resource.RLIMIT_FSIZE, 4096))


@plants("surroundings", "text encoding", "warn", "misread", "UTF-8")
def a_shell_without_utf_8(planted):
    planted.environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@plants("surroundings", "command workbench", "warn", "belongs to another Python", "export PATH=")
def another_workbench_on_the_path(planted):
    program = planted.front / "workbench"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    planted.environment["PATH"] = f"{planted.front}{os.pathsep}{planted.environment['PATH']}"


@plants("lab", "port of workbench lab", "warn", "is taken by another program", "--port")
def a_port_taken(planted):
    listener = socket.create_server(("127.0.0.1", 0))
    planted.environment["JUPYTER_PORT"] = str(listener.getsockname()[1])
    return listener  # open as long as somebody holds it


@plants("lab", "notebook kernel", "warn", "/usr/bin/python-elsewhere", "rm -r")
def a_kernel_of_another_python(planted):
    kernel = planted.front / "kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["/usr/bin/python-elsewhere", "-m", "ipykernel_launcher"]}))
    planted.environment["JUPYTER_PATH"] = str(planted.front)


@plants("lab", "widget front end", "fail", "remoteEntry", "anywidget==")
def half_a_front_end(planted):
    installed = Path(sys.prefix, "share/jupyter/labextensions/anywidget")
    copy = Path(shutil.copytree(installed, planted.front / "labextensions/anywidget"))
    for script in copy.glob("static/remoteEntry*"):
        script.unlink()
    planted.environment["JUPYTER_PATH"] = str(planted.front)


@plants("lab", "widget front end", "fail", "anywidget is turned off", "labextension enable anywidget")
def a_front_end_turned_off(planted):
    folder = planted.front / "labconfig"
    folder.mkdir()
    (folder / "page_config.json").write_text(json.dumps({"disabledExtensions": {"anywidget": True}}))
    planted.environment["JUPYTER_CONFIG_PATH"] = str(planted.front)


@plants("lab", "widget front end", "fail", "anywidget is in none of", "anywidget==")
def no_front_end(planted):
    """An environment of its own that takes its packages from here: its JupyterLab does not look here."""
    environment = planted.folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    next((environment / "lib").glob("python*/site-packages")).joinpath("others.pth").write_text(str(SITE))
    planted.python = str(environment / "bin/python")


@plants("engines", "engine ollama", "warn", "not installed", "workbench.ollama_engine")
def no_go_engine(planted):
    planted.own_cache()


@plants("engines", "engine ollama", "fail", "unexpected end", "workbench.ollama_engine")
def a_corrupt_go_engine(planted):
    module = planted.own_cache() / "wasm" / module_path().name
    module.parent.mkdir()
    module.write_bytes(module_path().read_bytes()[:100_000])
