"""Runs a script of a foreign SDK beside the emulator, in a process of its own.

Its Python is the one that `TOGETHER_SDK_PYTHON_3`, `TOGETHER_SDK_PYTHON_1` or `OPENAI_SDK_PYTHON` names, since two versions of one
package cannot live together; `make test` sets them up. Without the name it is this Python, where that has the package.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from together_adapters.emulator import Emulator

NAMED = {name: os.environ.get(name) for name in ("TOGETHER_SDK_PYTHON_3", "TOGETHER_SDK_PYTHON_1", "OPENAI_SDK_PYTHON")}


def python_with(package: str, major: str, variable: str) -> str:
    """Returns a Python with a package, optionally of a major version; skips the test where there is none."""
    if NAMED[variable]:
        return str(NAMED[variable])
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if not version or (major and version.partition(".")[0] != major):
        pytest.skip(f"{package} {major}".rstrip() + f" is not installed, and {variable} names no Python that has it")
    return sys.executable


def drive(python: str, script: str, emulator: Emulator, folder: Path) -> None:
    """Runs a script with the emulator; its assertions are the test."""
    environment = {"PATH": os.environ["PATH"], "ROOT": emulator.base_url.removesuffix("/v1"), "BASE": emulator.base_url}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert emulator.errors == []
