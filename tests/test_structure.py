"""The rules of the floor plan: folders of a readable size, no import circles, a map in CONTRIBUTING that is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "together_adapters": ROOT / "together_adapters",
    "langchain_together_adapters": ROOT / "integrations" / "langchain_together_adapters",
    "llama_index_together_adapters": ROOT / "integrations" / "llama_index_together_adapters",
}
MAX_MODULES = 22
UNLISTED = {"__init__", "__main__", "_version"}


FOLDERS = [
    folder
    for package in PACKAGES.values()
    for folder in (package, *sorted(path for path in package.rglob("*") if any(path.glob("*.py"))))
]


def modules_of(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")} - UNLISTED


def test_no_import_circles() -> None:
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_folders_can_be_read_at_a_glance(folder: Path) -> None:
    assert len(modules_of(folder)) <= MAX_MODULES


@pytest.mark.parametrize(
    "package", ["adapters", "cli", "control", "demo", "emulator", "finetune", "resources", "testing", "transport", "types"]
)
def test_the_library_never_names_a_framework_or_an_integration(package: str) -> None:
    """Import-linter leaves `if TYPE_CHECKING` out; this does not."""
    for path in (PACKAGES["together_adapters"] / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"langchain_core", "llama_index", *PACKAGES} - {"together_adapters"}, path


def test_one_module_knows_the_http_libraries() -> None:
    """Type checking included, which import-linter leaves out."""
    libraries = {"httpx", "httpx2", "httpcore", "httpcore2", "h11"}
    users = set()
    for package in PACKAGES.values():
        for path in package.rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
            names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
            names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
            users |= {path.name for name in names if name.partition(".")[0] in libraries}
    assert users == {"http_library.py"}


def test_names_are_plain() -> None:
    command = [sys.executable, "tools/vocabulary.py", "--limit", "3"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout


def map_of_contributing() -> dict[str, set[str]]:
    """Reads the map: lines of a folder and, indented below it, the names of its modules before two spaces and a remark."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    block = re.search(r"<!-- map -->\n```\n(.*?)```", page, re.DOTALL)
    assert block is not None
    entries: dict[str, set[str]] = {}
    folder = ""
    for line in block[1].splitlines():
        names = line.strip().partition("  ")[0]
        if not line.startswith(" "):
            folder = names.rstrip("/")
            entries[folder] = set()
        else:
            entries[folder] |= set(names.split())
    return entries


def test_the_map_names_every_folder() -> None:
    assert map_of_contributing().keys() == {str(folder.relative_to(ROOT)) for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_the_map_names_every_module(folder: Path) -> None:
    assert map_of_contributing()[str(folder.relative_to(ROOT))] == modules_of(folder)
