"""What `import workbench` costs and loads, and which rooms may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "workbench"
HEAVY = ("llama_cpp", "ipywidgets", "anywidget", "plotly", "pandas", "transformers", "IPython", "jupyterlab")
# Everything that a value or the command line needs must come without the notebook's libraries.
LIGHT = ["workbench", "workbench.trace", "workbench.parsers", "workbench.data", "workbench.cli", "workbench.views"]


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_nothing_heavy(module):
    probe = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_importing_the_package_does_not_even_load_numpy():
    probe = "import sys, workbench; print('numpy' in sys.modules, 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


def test_every_public_name_is_there():
    import workbench

    for name in workbench.__all__:
        assert getattr(workbench, name) is not None


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_a_function_stays_one_when_its_module_is_loaded_first():
    probe = "from workbench import strip, trace; import workbench; print(workbench.trace is trace, callable(trace))"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"]


# A library, and the rooms that may import it.
ROOMS = [
    ("llama_cpp", ("runtime", "gguf", "environment.py", "engines")),
    ("ipywidgets", ("widgets",)),
    ("anywidget", ("widgets",)),
    ("plotly", ("views", "widgets")),
]


@pytest.mark.parametrize(("library", "rooms"), ROOMS)
def test_a_library_stays_in_its_room(library, rooms):
    found = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imports_of(path))
    }
    assert found <= set(rooms)


# Rooms in the order in which data walks through them: none imports one that stands behind it.
ORDER = [
    "gguf",
    "sampling",
    "engines",
    "runtime",
    "tokenizers",
    "parsers",
    "compare",
    "renders.py",
    "steps.py",
    "trace.py",
    "prompt.py",
    "lens.py",
    "lockstep.py",
    "groups.py",
    "floor.py",
    "versus",
    "branches.py",
    "tokens.py",
    "sweep_cell.py",
    "sweep.py",
    "proof",
    "quality",
    "variants",
    "damage",
    "doctor",
    "views",
    "exercises",
    "widgets",
    "cli",
]


def test_imports_run_one_way():
    wrong = []
    for position, room in enumerate(ORDER):
        files = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
        later = {f"workbench.{name.removesuffix('.py')}" for name in ORDER[position + 1 :]}
        for path in files:
            wrong += [
                f"{path.relative_to(PACKAGE)} imports {name}"
                for name in imports_of(path)
                if any(name == room or name.startswith(f"{room}.") for room in later)
            ]
    assert wrong == []
