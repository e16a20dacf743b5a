"""Every notebook that is shipped runs from top to bottom, and is committed as it should be."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


# What a cell of each shows when all went well.
SHOWN = {
    "01-one-request-step-by-step": "The capital of France is Paris.",
    "02-templates": "Where the prompt goes",
    "03-tokens": "the text comes back byte for byte",
    "04-logits-and-sampling": "Two sampler chains on the same logits",
    "05-quantisation": "One request, several setups",
    "06-offload-and-backends": "Runtime lab, static copy",
}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS
    assert NOTEBOOKS[0].name == "01-one-request-step-by-step.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_as_it_should_be(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))
    assert any("assert " in cell.source for cell in code_cells(notebook))
    for cell in code_cells(notebook):
        tree = ast.parse(cell.source, mode="exec", type_comments=False) if "await " not in cell.source else None
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, node.name


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_with_errors_fatal(path, tmp_path, demo_model):
    notebook = nbformat.read(path, 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=180, kernel_name="python3", store_widget_state=False, resources=resources)
    client.execute()
    pages = ["".join(o.get("data", {}).get("text/html", "") for o in cell.outputs) for cell in code_cells(notebook)]
    assert any(SHOWN[path.stem] in page for page in pages)
    assert "widgets" not in notebook.metadata


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def solution_of(cell):
    return cell.source.partition("```python\n")[2].partition("\n```")[0]


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if not path.stem.startswith("01")], ids=lambda path: path.stem
)
@pytest.mark.parametrize("solved", [False, True])
def test_exercises_tell_right_from_not_yet(path, solved, tmp_path, demo_model):
    notebook = nbformat.read(path, 4)
    exercises, checks, solutions = (tagged(notebook, tag) for tag in ("exercise", "check", "solution"))
    assert len(exercises) == len(checks) == len(solutions) == 3
    for exercise, solution in zip(exercises, solutions, strict=True):
        assert "Hint" in notebook.cells[notebook.cells.index(exercise) - 1].source
        exercise.source += f"\n{solution_of(solution)}" if solved else ""
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=180, kernel_name="python3", resources=resources).execute()
    for check in checks:
        told = check.outputs[0].data["text/plain"]
        assert told.startswith("Right: " if solved else "Not yet: "), told
