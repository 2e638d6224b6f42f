"""The header of a recipe, from which `uv run` installs it, names what the recipe and the modules that it shares import."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cookbook.warm import COOKBOOK

PROJECT = tomllib.loads((COOKBOOK.parent / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = {path.stem: path for path in sorted(COOKBOOK.glob("*.py"))}
HEADER = re.compile(r"\A# /// script\n(.*?)^# ///\n", re.MULTILINE | re.DOTALL)
RECIPES = [name for name, path in MODULES.items() if HEADER.match(path.read_text("utf-8"))]
OURS = {
    "langchain_together_adapters": "together-adapters[langchain]",
    "llama_index_together_adapters": "together-adapters[llama-index]",
    "together_adapters": "together-adapters",
    "together_adapters.emulator": "together-adapters[emulator]",
    "together_adapters.demo.keyword_index": "bm25s",
}
"""What modules of ours need."""
DISTRIBUTIONS = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}


def header(name: str) -> Any:
    match = HEADER.match(MODULES[name].read_text("utf-8"))
    assert match
    return tomllib.loads(re.sub(r"^# ?", "", match[1], flags=re.MULTILINE))


def imports(name: str) -> set[str]:
    """The modules that a recipe imports, itself or through others of this folder."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    shared = names & MODULES.keys()
    return (names - shared).union(*map(imports, shared))


def installed(requirements: list[str]) -> Iterator[str]:
    """The names of the packages that requirements name, and of those that the extras of this one bring."""
    for requirement in map(Requirement, requirements):
        yield canonicalize_name(requirement.name)
        if requirement.name == "together-adapters":
            yield from installed(PROJECT["dependencies"])
            for extra in requirement.extras:
                yield f"together-adapters[{extra}]"
                yield from installed(PROJECT["optional-dependencies"][extra])


def test_the_other_modules_are_those_that_recipes_share() -> None:
    assert MODULES.keys() - set(RECIPES) == {"session", "tuning"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_header_covers_the_imports(name: str) -> None:
    script = header(name)
    assert script["requires-python"] == PROJECT["requires-python"]
    # Editable, as `uv` would keep what it has built until `pyproject.toml` changes.
    assert script["tool"]["uv"]["sources"] == {"together-adapters": {"path": "..", "editable": True}}
    packages = set(installed(script["dependencies"]))
    for module in imports(name):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        needed = {OURS.get(module, OURS[top])} if top in OURS else DISTRIBUTIONS[top]
        assert needed & packages, f"{name} imports {module}, of {' or '.join(sorted(needed))}"
