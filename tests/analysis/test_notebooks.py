"""The notebooks, run as a reader runs them: on the runs that come with the project, and on other runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from tests.analysis.conftest import Store

FOLDER = Path(__file__).parents[2] / "analysis" / "notebooks"
NAMES = ["01_positive_only", "02_filtering", "03_normalization", "04_clipping", "05_claims"]
PLOTLY = "application/vnd.plotly.v1+json"


def _run(notebook: Any, folder: Path) -> list[dict[str, Any]]:
    """Executes all cells in `folder`; returns what each code cell has shown, by media type."""
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        {kind: content for output in cell.outputs for kind, content in output.get("data", {}).items()}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_on_the_shipped_runs_and_is_kept_without_output(name: str, tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    shown = _run(notebook, tmp_path)
    for cell, output in zip(code, shown, strict=True):
        if "study.figure(" in cell.source:
            assert output[PLOTLY]["data"], cell.source
        if "study.claims(" in cell.source:
            assert "badge" in output["text/html"]


def test_a_notebook_runs_on_other_runs_by_one_changed_cell(store: Store, tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / "01_positive_only.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if "SWEEPS = " in cell.source)
    cell.source = f'SWEEPS = ["pair"]\nRUNS_DIR = "{store.runs_dir}"'
    shown = _run(notebook, tmp_path)
    said = " ".join(output.get("text/html", "") for output in shown)
    assert "No paper_figure_2: it needs 3 of" in said
    assert any(PLOTLY in output for output in shown)
    assert all(name in {path.stem for path in FOLDER.glob("*.ipynb")} for name in NAMES)
