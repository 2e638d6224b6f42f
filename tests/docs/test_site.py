"""The site is built without the network and without a warning, and loads nothing from elsewhere; the notebooks run."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, requirements
from tests.requirements import imports, missing

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SLOW = {"langchain", "llama_index"}
"""Notebooks that import a framework: five to ten seconds."""


@pytest.mark.long
def test_the_site_is_built(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    pages = {page: page.read_text("utf-8") for page in (tmp_path / "site").rglob("*.html")}
    assert len(pages) > 80
    for page, text in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?(\S+?)[\" >]|<link[^>]* href=\"?(\S+?)[\" >]", text)
        assert not [url for urls in loaded for url in urls if re.match(r"(https?:)?//", url)], page
        assert "mermaid" not in text, page  # the theme would load it from another host
    assert "openai/gpt-oss-120b" in pages[tmp_path / "site" / "models.html"]
    assert 'id="ratelimiterror"' in pages[tmp_path / "site" / "troubleshooting.html"]
    reference = pages[tmp_path / "site" / "reference" / "resources-text.html"]
    assert "frequency_penalty" in reference  # of a TypedDict that a decorator unpacks


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else ()) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
@pytest.mark.long
def test_notebooks_print_what_they_show(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    nbformat: Any = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    tool = runpy.run_path(str(ROOT / "tools" / "notebooks.py"))
    run = tool["execute"](path, tmp_path)
    shown = nbformat.read(path, as_version=4)
    outputs = [[[cell.source, cell.get("outputs")] for cell in notebook.cells] for notebook in (run, shown)]
    for cells in outputs:
        for _, entries in cells:
            for entry in entries or []:
                entry.pop("execution_count", None)
    assert outputs[0] == outputs[1], f"run python tools/notebooks.py {path.stem}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_name_what_to_install(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    programs = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    modules = set().union(*map(imports, programs))
    assert missing(modules, requirements("".join(cells[0]["source"]))) == {}


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"client", "langchain", "llama_index", "finetuning"}
