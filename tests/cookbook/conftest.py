"""Runs a recipe as a user does: as a process, with its output and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cookbook.warm import COOKBOOK, RECIPES
from tests.fork_server import ForkServer
from together_adapters.emulator import Emulator

KEY = "sk-of-a-cook-0123456789"
BAD_KEY = "bad-key-of-a-cook"
WARNINGS = {
    "langchain": ["error::DeprecationWarning"],
    # workflows inspect all attributes of an agent; prompts are counted in an event loop, which Python 3.12 wants to be made before
    "llama_index": [
        "error::DeprecationWarning",
        "ignore::DeprecationWarning:inspect",
        "ignore:There is no current event loop:DeprecationWarning",
    ],
}
MODES = ["default", "strict"]
RunAgain = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONIOENCODING": "utf-8"} | changes


def warnings(name: str) -> list[str]:
    return WARNINGS["langchain" if name.endswith("langchain") and not name.startswith("finetune") else "llama_index"]


def run(recipe: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Runs a recipe in a new process. The imports take seconds, so further runs of a recipe use `run_again`."""
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


@pytest.fixture
def emulator(emulator: Emulator) -> Iterator[Emulator]:
    """The emulator as users have it: a recipe names models that exist."""
    with emulator.behave(any_model=False):
        yield emulator


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[str]:
    """A mode of the emulator of the test: one that grants more than the service of today, and one that serves no more."""
    with emulator.behave(strict=request.param == "strict"):
        yield request.param


def chats(emulator: Emulator) -> list[Any]:
    """The bodies of chat requests, without those for one token that ask whether a model is served."""
    bodies = [request.json for request in emulator.requests if request.path == "/v1/chat/completions"]
    return [body for body in bodies if body.get("max_tokens") != 1]


@pytest.fixture(scope="session")
def warm() -> Iterator[Callable[[str], ForkServer]]:
    processes: dict[str, ForkServer] = {}

    def process_for(recipe: str) -> ForkServer:
        [kind] = [kind for kind, recipes in RECIPES.items() if recipe in recipes]
        if kind not in processes:
            processes[kind] = ForkServer("tests.cookbook.warm", kind, warnings=warnings(recipe))
        return processes[kind]

    yield process_for
    for process in processes.values():
        process.close()


@pytest.fixture
def run_again(warm: Callable[[str], ForkServer], tmp_path: Path) -> RunAgain:
    """Like `run`, in a fork of a process that has already imported the frameworks."""

    def run(recipe: str, *arguments: str, stdin: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
        return warm(recipe).run([recipe, *arguments], tmp_path, environment(**changes), stdin=stdin)

    return run
