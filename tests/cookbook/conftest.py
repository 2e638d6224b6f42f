"""A recipe as a user runs it: a process, its two streams and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cookbook.warm import COOKBOOK, RECIPES
from tests.fork_server import ForkServer

KEY = "sk-of-a-cook-0123456789"
BAD_KEY = "bad-key-of-a-cook"
WARNINGS = {
    "langchain": ["error::DeprecationWarning"],
    "llama_index": ["error::DeprecationWarning", "ignore::DeprecationWarning:inspect"],  # workflows look at all of an agent
}
Again = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONIOENCODING": "utf-8"} | changes


def warnings(name: str) -> list[str]:
    return WARNINGS["langchain" if name.endswith("langchain") and not name.startswith("finetune") else "llama_index"]


def run(recipe: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a recipe. The frameworks alone take seconds to import: once for each recipe is enough, and then `again`."""
    flags = [part for warning in warnings(recipe) for part in ("-W", warning)]
    return subprocess.run(
        [sys.executable, *flags, str(COOKBOOK / f"{recipe}.py"), *arguments],
        env=environment(**changes),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def warm() -> Iterator[Callable[[str], ForkServer]]:
    made: dict[str, ForkServer] = {}

    def of(recipe: str) -> ForkServer:
        [kind] = [kind for kind, recipes in RECIPES.items() if recipe in recipes]
        if kind not in made:
            made[kind] = ForkServer("tests.cookbook.warm", kind, warnings=warnings(recipe))
        return made[kind]

    yield of
    for process in made.values():
        process.close()


@pytest.fixture
def again(warm: Callable[[str], ForkServer], tmp_path: Path) -> Again:
    """As `run`, in a fork of a process that has its imports behind it."""

    def run(recipe: str, *arguments: str, stdin: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
        return warm(recipe).run([recipe, *arguments], tmp_path, environment(**changes), stdin=stdin)

    return run
