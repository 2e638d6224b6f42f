"""The header of a recipe, from which `uv run` installs it, names what the recipe and the modules that it shares import."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cookbook.conftest import run
from tests.cookbook.warm import COOKBOOK
from tests.requirements import PROJECT, imports, missing

MODULES = {path.stem: path for path in sorted(COOKBOOK.glob("*.py"))}
HEADER = re.compile(r"\A# /// script\n(.*?)^# ///\n", re.MULTILINE | re.DOTALL)
RECIPES = [name for name, path in MODULES.items() if HEADER.match(path.read_text("utf-8"))]


def header(name: str) -> Any:
    match = HEADER.match(MODULES[name].read_text("utf-8"))
    assert match
    return tomllib.loads(re.sub(r"^# ?", "", match[1], flags=re.MULTILINE))


def modules(name: str) -> set[str]:
    """The modules that a recipe imports, itself or through others of this folder."""
    names = imports(MODULES[name].read_text("utf-8"))
    shared = names & MODULES.keys()
    return (names - shared).union(*map(modules, shared))


def test_the_other_modules_are_those_that_recipes_share() -> None:
    assert MODULES.keys() - set(RECIPES) == {"session", "tuning"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_header_covers_the_imports(name: str) -> None:
    script = header(name)
    assert script["requires-python"] == PROJECT["requires-python"]
    # Editable, as `uv` would keep what it has built until `pyproject.toml` changes.
    assert script["tool"]["uv"]["sources"] == {"together-adapters": {"path": "..", "editable": True}}
    assert missing(modules(name), script["dependencies"]) == {}


def test_an_extra_has_what_all_recipes_need() -> None:
    """For plain `python cookbook/NAME.py`."""
    assert missing(set().union(*map(modules, RECIPES)), ["together-adapters[cookbook]"]) == {}


@pytest.mark.parametrize(
    ("name", "package"), [("images_client", "tqdm"), ("rag_llama_index", "bm25s"), ("finetune_agent_langchain", "langchain")]
)
def test_a_recipe_without_its_packages_says_how_to_install_them(name: str, package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{package}'\")")
    done = run(name, PYTHONPATH=str(tmp_path))
    advice = f'once, in the clone, `pip install ".[cookbook]"`; or `uv run cookbook/{name}.py`'
    assert (done.returncode, done.stderr) == (1, f"No module named '{package}': {advice}\n")
