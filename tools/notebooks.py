"""Runs the notebooks of `docs/notebooks` on the emulator and writes what they print into them: `python tools/notebooks.py [NAME ...]`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat as _nbformat
from nbclient import NotebookClient

nbformat: Any = _nbformat  # it has no types

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
TIMEOUT = 300
"""Seconds for one cell: what only a program that hangs takes."""


def execute(path: Path, folder: str | Path) -> Any:
    """Runs the cells of a notebook in a process of its own, in a folder; returns it with their outputs."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(folder)}}).execute()
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Joins what a cell printed in several pieces, which are others in each run."""
    result: list[Any] = []
    for output in outputs:
        if result and output.output_type == result[-1].output_type == "stream" and output.name == result[-1].name:
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def main() -> None:
    """Runs the notebooks that are named, or all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if len(sys.argv) < 2 or path.stem in sys.argv[1:]:
            with TemporaryDirectory() as folder:
                nbformat.write(execute(path, folder), path)


if __name__ == "__main__":
    main()
