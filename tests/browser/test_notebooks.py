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


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def solution_of(cell):
    return cell.source.partition("```python\n")[2].partition("\n```")[0]


def told_by(check):
    return check.outputs[0].data["text/plain"]


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_as_shipped_and_then_its_solutions_are_right(path, tmp_path, demo_model):
    """One kernel: the whole notebook with errors fatal, then what a reader does, each exercise with its solution."""
    notebook = nbformat.read(path, 4)
    exercises, checks, solutions = (tagged(notebook, tag) for tag in ("exercise", "check", "solution"))
    assert len(exercises) == len(checks) == len(solutions) == (0 if path.stem.startswith("01") else 3)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=180, kernel_name="python3", store_widget_state=False, resources=resources)
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        assert_shown(notebook, SHOWN[path.stem])
        assert [told_by(check)[:9] for check in checks] == ["Not yet: "] * len(checks)
        for exercise, check, solution in zip(exercises, checks, solutions, strict=True):
            assert "Hint" in notebook.cells[notebook.cells.index(exercise) - 1].source
            exercise.source += f"\n{solution_of(solution)}"
            for cell in (exercise, check):
                client.execute_cell(cell, notebook.cells.index(cell))
            assert told_by(check).startswith("Right: "), told_by(check)


def assert_shown(notebook, words):
    pages = ["".join(o.get("data", {}).get("text/html", "") for o in cell.outputs) for cell in code_cells(notebook)]
    assert any(words in page for page in pages)
    assert "widgets" not in notebook.metadata
