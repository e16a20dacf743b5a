"""The table of what can change a result has every package that runs between a request and its answer."""

import subprocess
import sys

from packaging.utils import canonicalize_name

from workbench.doctor.effects import PACKAGES
from workbench.doctor.engines import BROUGHT_BY
from workbench.doctor.models import TOOLSMITH_SHA256
from workbench.setup import ENGINE_NAMES

# Everything that renders, tokenises, scores, samples or parses, loaded in one process.
LOADED = """\
import importlib, sys
from importlib.metadata import packages_distributions
for name in ("engines.worker", "engines.llama_cpp_worker", "engines.legacy_worker", "engines.llama_cpp_python_worker",
             "engines.llama_server_worker", "engines.ollama_worker", "runtime.worker", "tokenizers.serve", "parsers"):
    importlib.import_module(f"workbench.{name}")
import ggufdoctor, llama_cpp, tokenizers, wasmtime, workbench.runtime.worker
owners = packages_distributions()
print(*{owner for module in sys.modules for owner in owners.get(module.partition(".")[0], ())})
"""
HARMLESS = {
    "setuptools": "its .pth file runs in every process",
    "typing-extensions": "annotations",
    "diskcache": "llama_cpp keeps answers with it, which is never asked for",
}


def test_every_package_that_runs_there_is_in_the_table():
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    found = {canonicalize_name(name) for name in done.stdout.split()}
    assert {"jinja2", "llama-cpp-python", "numpy", "xllamacpp"} <= found
    assert found - set(PACKAGES) - set(HARMLESS) == set()


def test_every_engine_has_a_package_to_install_again():
    assert set(BROUGHT_BY) == set(ENGINE_NAMES)


def test_toolsmith_has_the_hash_that_its_card_tells():
    from workbench.data import toolsmith

    card = toolsmith().with_name("README.md").read_text("utf-8")
    assert f"| `{toolsmith().name}`, shipped |" in card
    assert TOOLSMITH_SHA256 in card
