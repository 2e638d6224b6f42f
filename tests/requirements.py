"""What modules need, and what requirements bring: headers of recipes and install lines of pages are compared by both."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
OURS = {
    "langchain_together_adapters": "together-adapters[langchain]",
    "llama_index_together_adapters": "together-adapters[llama-index]",
    "together_adapters": "together-adapters",
    "together_adapters.bulk.ray": "together-adapters[ray]",
    "together_adapters.demo.keyword_index": "bm25s",
    "together_adapters.emulator": "together-adapters[emulator]",
    "together_adapters.telemetry": "together-adapters[otel]",
    "together_adapters.testing": "together-adapters[testing]",
}
"""What modules of ours need."""
DISTRIBUTIONS = {module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()}
BESIDE = {"InMemoryVectorStore": {"numpy", "bm25s", "llama-index-core"}}
"""Names that need a package which theirs does not require, and others that bring it."""


def imports(source: str) -> set[str]:
    """The modules that a program imports, and the names that bring a package of their own."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *({alias.name for alias in node.names} & BESIDE.keys())}
    return names


def installed(requirements: Iterable[str]) -> Iterator[str]:
    """The names of the packages that requirements name, and of those that the extras of this one bring."""
    for requirement in map(Requirement, requirements):
        yield canonicalize_name(requirement.name)
        if requirement.name == "together-adapters":
            yield from installed(PROJECT["dependencies"])
            for extra in requirement.extras:
                yield f"together-adapters[{extra}]"
                yield from installed(PROJECT["optional-dependencies"][extra])


def missing(modules: Iterable[str], requirements: Iterable[str]) -> dict[str, set[str]]:
    """Modules that requirements do not bring, with the packages of which one is needed."""
    packages = set(installed(requirements))
    needed = {}
    for module in modules:
        top = module.partition(".")[0]
        if module in BESIDE:
            needed[module] = BESIDE[module]
        elif top in OURS:
            needed[module] = {OURS.get(module, OURS[top])}
        elif top not in sys.stdlib_module_names:
            needed[module] = DISTRIBUTIONS[top]
    return {module: names for module, names in needed.items() if not names & packages}
